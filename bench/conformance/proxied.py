"""What becomes of a case: it goes through a listener, and h11 reads what the listener sends on."""

import asyncio
import re
from dataclasses import dataclass, field

import h11
from bench.conformance.cases import Case

from forefill_protocol.podsettings import PolicyListener
from forefill_protocol.policysettings import CostSettings, ForecastSettings, PolicySettings, QueueSettings
from forefill_sidecar.assembly import build_listener
from forefill_sidecar.proxy.listener import Listener

WAIT_SECONDS = 0.3
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_DETAIL = re.compile(rb'"detail":"(.*?[^\\])"')


@dataclass
class Verdict:
    """`statuses` of what the client got, `detail` of a refusal, `confused` what h11 could not read of what went on."""

    statuses: list[int] = field(default_factory=list)
    detail: str = ""
    confused: list[str] = field(default_factory=list)

    @property
    def is_refused(self) -> bool:
        return any(status >= 400 for status in self.statuses)


async def judged(case: Case) -> Verdict:
    """Send one case through a listener of its own."""
    verdict = Verdict()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        body = b""
        try:
            while data := await reader.read(65536):
                connection.receive_data(data)
                while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                    if isinstance(event, h11.Request) and connection.they_are_waiting_for_100_continue:
                        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    if isinstance(event, h11.Data):
                        body += event.data
                    if isinstance(event, h11.EndOfMessage):
                        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                        connection, body = h11.Connection(h11.SERVER), b""
                        break
        except h11.RemoteProtocolError as error:
            verdict.confused.append(str(error))
        writer.close()

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(case.data)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo if case.is_request else say, "127.0.0.1", 0)
    listener = _listener(server.sockets[0].getsockname()[1])
    await listener.start()
    try:
        data = case.data if case.is_request else b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        answer = await _sent(listener.port, data, may_end=case.is_refused)
    finally:
        await listener.close()
        server.close()
    verdict.statuses = [int(status) for status in _STATUS.findall(answer)]
    if found := _DETAIL.search(answer):
        verdict.detail = found[1].decode()
    return verdict


async def _sent(port: int, data: bytes, may_end: bool) -> bytes:
    """All that comes back. A case that stops inside a head is ended, so that what is wrong in it comes to light."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await _received(reader)
    if not answer and may_end:
        writer.write(b"\r\n\r\n")
        answer = await _received(reader)
    writer.close()
    return answer


async def _received(reader: asyncio.StreamReader) -> bytes:
    answer = b""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while more := await reader.read(65536):
                answer += more
    except (TimeoutError, ConnectionError):
        # Either more is waited for, or everything has been said.
        return answer
    return answer


def _listener(upstream_port: int) -> Listener:
    settings = PolicySettings(
        report_interval_seconds=10.0,
        lease_seconds=30.0,
        fallback="Safe",
        forecast=ForecastSettings(model="SimpleSmoothing", quantile=0.95, horizon_windows=3),
        queue=QueueSettings(max_wait_seconds=0.0, max_requests=10),
        cost=CostSettings(default=1.0),
    )
    upstream = f"http://127.0.0.1:{upstream_port}"
    pod = PolicyListener("conformance/all", "", 0, 1, upstream, "Enforce", 1e6, 1e6, settings)
    listener = build_listener(pod, tokens=1e6)
    listener.port = 0
    return listener
