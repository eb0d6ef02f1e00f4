"""Memory of a stream and speed of a rejoin: `python -m bench.streams [--clients N] [--json]`. Loopback only.

Clients run in this process, the operator's stream server in another one whose memory and CPU time are read. A rejoin is
TLS handshake, upgrade on a ticket, hello, and the answer to it; a first join has a report and its
answer, too. An upgrade ends before the hello.
"""

import argparse
import asyncio
import base64
import json
import ssl
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from forefill_operator.acceptor import UNFINISHED_PER_ADDRESS, raise_open_files
from forefill_protocol import codec, messages

REPORT = messages.Report(
    sequence=1,
    entries=[
        messages.PolicyReport(
            policy="shop/llm",
            window_seconds=10.0,
            offered=10.0,
            admitted=10.0,
            refused=0.0,
            backlog=0.0,
            requests=10,
            forecasts=[messages.Forecast(mean=1.0, p50=1.0, p90=1.2, p95=1.3)] * 3,
            policy_generation=1,
        )
    ],
)


@dataclass
class Client(WSListener):
    token: str
    is_silent: bool = False
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    ticket: bytes = b""

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        if self.is_silent:
            self.answered.set()
            return
        holding = messages.Holding(policy="shop/llm")
        transport.send(
            WSMsgType.BINARY,
            codec.encode(messages.Hello(protocol=1, boot_id=self.token, software="bench", holdings=[holding])),
        )

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.BINARY:
            message = codec.decode_down(frame.get_payload_as_bytes())
            if isinstance(message, messages.Assignment):
                self.ticket = message.ticket
                ack = messages.Ack(
                    policy=message.policy,
                    grant_sequence=message.grant_sequence,
                    policy_generation=message.policy_generation,
                )
                transport.send(WSMsgType.BINARY, codec.encode(ack))
                if message.settings is None:
                    self.answered.set()
                else:
                    transport.send(WSMsgType.BINARY, codec.encode(REPORT))

    async def join(self, port: int, context: ssl.SSLContext) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        if self.ticket:
            headers["Forefill-Ticket"] = base64.urlsafe_b64encode(self.ticket).decode().rstrip("=")
        self.answered.clear()
        await ws_connect(
            lambda: self,
            f"wss://localhost:{port}{messages.STREAM_PATH}",
            ssl_context=context,
            extra_headers=headers,
            use_aiofastnet=False,
        )
        await self.answered.wait()


class Server:
    def __init__(self, folder: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.streams.server", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._line()["port"])
        self.context = ssl.create_default_context(cafile=f"{folder}/ca.crt")

    def _line(self) -> dict[str, float]:
        assert self.process.stdout is not None
        found: dict[str, float] = json.loads(self.process.stdout.readline())
        return found

    def figures(self) -> dict[str, float]:
        assert self.process.stdin is not None
        self.process.stdin.write("figures\n")
        self.process.stdin.flush()
        return self._line()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)


async def join_all(clients: list[Client], server: Server) -> None:
    gate = asyncio.Semaphore(UNFINISHED_PER_ADDRESS // 2)

    async def one(client: Client) -> None:
        async with gate:
            await client.join(server.port, server.context)

    await asyncio.gather(*(one(client) for client in clients))


async def figures_after_a_pause(server: Server) -> dict[str, float]:
    """What is over is let go by the loop's next turns."""
    await asyncio.sleep(1.0)
    return await asyncio.to_thread(server.figures)


async def measure(server: Server, count: int) -> dict[str, float]:
    clients = [Client(str(number)) for number in range(count)]
    # The first ones pay for what every process pays once.
    await join_all(clients[:50], server)
    before = await figures_after_a_pause(server)
    started = time.perf_counter()
    await join_all(clients[50:], server)
    joined_seconds = time.perf_counter() - started
    joined = await figures_after_a_pause(server)
    for client in clients:
        client.transport.disconnect(False)
    away = await figures_after_a_pause(server)
    for client in clients:
        client.is_silent = True
    await join_all(clients, server)
    opened = await figures_after_a_pause(server)
    for client in clients:
        client.transport.disconnect(False)
        client.is_silent = False
    await asyncio.sleep(1.0)
    before_rejoin = await figures_after_a_pause(server)
    started = time.perf_counter()
    await join_all(clients, server)
    rejoined_seconds = time.perf_counter() - started
    back = await figures_after_a_pause(server)
    assert back["streams"] == count
    added = count - 50
    return {
        "clients": count,
        "kilobytes_a_client_ledger_included": (joined["rss_bytes"] - before["rss_bytes"]) / 1000.0 / added,
        "join_cpu_milliseconds": 1000.0 * (joined["cpu_seconds"] - before["cpu_seconds"]) / added,
        "joins_per_second": added / joined_seconds,
        "upgrade_cpu_milliseconds": 1000.0 * (opened["cpu_seconds"] - away["cpu_seconds"]) / count,
        "upgrades_per_second_a_core": count / (opened["cpu_seconds"] - away["cpu_seconds"]),
        "rejoin_cpu_milliseconds": 1000.0 * (back["cpu_seconds"] - before_rejoin["cpu_seconds"]) / count,
        "rejoins_per_second": count / rejoined_seconds,
        "rejoins_per_second_a_core": count / (back["cpu_seconds"] - before_rejoin["cpu_seconds"]),
        "kilobytes_a_stream": (joined["rss_bytes"] - away["rss_bytes"]) / 1000.0 / count,
    }


def main() -> int:
    parser = argparse.ArgumentParser("python -m bench.streams", description=__doc__)
    parser.add_argument("--clients", type=int, default=2000, metavar="N")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not 100 <= options.clients <= raise_open_files() - 256:
        print(f"--clients is {options.clients}; this machine allows 100 to {raise_open_files() - 256}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        server = Server(str(Path(folder)))
        try:
            found = uvloop.run(measure(server, options.clients))
        finally:
            server.close()
    if options.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name.replace('_', ' '):28} {value:10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
