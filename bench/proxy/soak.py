"""Mixed load with everything that goes wrong: aborts, slow readers, upstream restarts, changes of the rate.

`python -m bench.proxy.soak [--seconds 1800]`. Checked all the time: what was admitted stays within burst + earned + the
dearest request (design's invariant 2), no 5xx while the upstream is there. At the end: memory did not grow.
"""

import argparse
import asyncio
import gc
import os
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from forefill_protocol.podsettings import PolicyListener
from forefill_protocol.policysettings import CostSettings, ForecastSettings, PolicySettings, QueueSettings
from forefill_sidecar.assembly import build_listener
from forefill_sidecar.proxy.listener import Listener

DEAREST, BURST = 20.0, 200.0
CLIENTS = 40
GROWTH_ALLOWED_BYTES = 2_000_000


@dataclass
class Bound:
    """What may have been admitted by now; raises AssertionError as soon as more was."""

    listener: Listener
    earned: float = 0.0
    rate: float = 0.0
    since: float = field(default_factory=time.monotonic)

    def retune(self, rate: float) -> None:
        now = time.monotonic()
        self.earned += (now - self.since) * self.rate
        self.since, self.rate = now, rate
        self.listener.gate.retune(now, rate, BURST)

    def check(self) -> None:
        earned = self.earned + (time.monotonic() - self.since) * self.rate
        totals = self.listener.meter.totals
        admitted = totals.admitted - totals.returned
        assert admitted <= BURST + earned + DEAREST + 1e-6, f"{admitted} admitted, {earned} earned"


@dataclass
class Upstream:
    """A server that stops and starts again on its port."""

    port: int = 0
    server: asyncio.Server | None = None
    is_up: bool = False
    down_at: float = 0.0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]
        self.is_up = True

    def stop(self) -> None:
        self.is_up, self.down_at = False, time.monotonic()
        assert self.server is not None
        self.server.close()
        for writer in list(self.writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while True:
                await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # The proxy broke a request off, or closed an idle connection.
        finally:
            self.writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"chunked" in head:
            await reader.readuntil(b"0\r\n\r\n")
        size = random.choice((10, 1000, 100_000))
        if random.random() < 0.3:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(5):
                writer.write(b"%x\r\n%b\r\n" % (size, b"x" * size))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        await writer.drain()


async def client(listener: Listener, upstream: Upstream, bound: Bound, seen: Counter[str], end: float) -> None:
    while time.monotonic() < end:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, limit=2**20)
        try:
            for _ in range(random.randint(1, 20)):
                await one_request(reader, writer, upstream, seen)
                bound.check()
        except (ConnectionError, asyncio.IncompleteReadError):
            seen["closed"] += 1
        finally:
            writer.transport.abort()


async def one_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: Upstream, seen: Counter[str]
) -> None:
    begun = time.monotonic()
    cost = random.choice((1, 1, 1, 5, int(DEAREST)))
    if random.random() < 0.3:
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nX-Tokens: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % cost)
        writer.write(b"1000\r\n" + b"y" * 4096 + b"\r\n0\r\n\r\n")
    else:
        writer.write(b"GET /%d HTTP/1.1\r\nHost: a\r\nX-Tokens: %d\r\n\r\n" % (random.randint(0, 10**6), cost))
    await asyncio.sleep(random.choice((0.0, 0.0, 0.002)))
    if random.random() < 0.1:
        seen["aborted"] += 1
        raise ConnectionAbortedError
    head = await reader.readuntil(b"\r\n\r\n")
    status = head[9:12].decode()
    seen[status] += 1
    # A restart may break off what was under way when it happened; anything else would be our own failure.
    assert status < "500" or not upstream.is_up or upstream.down_at > begun - 1.0, head
    if b"chunked" in head:
        await reader.readuntil(b"\r\n0\r\n\r\n")
    else:
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
    if status != "200":
        await asyncio.sleep(0.02)


async def disturb(upstream: Upstream, bound: Bound, end: float) -> None:
    while time.monotonic() < end:
        bound.retune(random.choice((50.0, 500.0, 3000.0)))
        await asyncio.sleep(random.uniform(0.2, 1.0))
        if random.random() < 0.1:
            upstream.stop()
            await asyncio.sleep(0.3)
            await upstream.start()


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def soak(seconds: float) -> int:
    upstream = Upstream()
    await upstream.start()
    settings = PolicySettings(
        report_interval_seconds=10.0,
        lease_seconds=30.0,
        fallback="Safe",
        forecast=ForecastSettings(model="Ensemble", quantile=0.95, horizon_windows=3),
        queue=QueueSettings(max_wait_seconds=0.5, max_requests=30),
        cost=CostSettings(default=1.0, header="x-tokens"),
    )
    pod = PolicyListener("soak/all", "", 0, 1, f"http://127.0.0.1:{upstream.port}", "Enforce", 0.0, BURST, settings)
    listener = build_listener(pod)
    listener.port = 0
    await listener.start()
    bound, seen = Bound(listener), Counter[str]()
    end = time.monotonic() + seconds
    memory: list[int] = []
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(disturb(upstream, bound, end))
        for _ in range(CLIENTS):
            tasks.create_task(client(listener, upstream, bound, seen, end))
        while time.monotonic() < end:
            await asyncio.sleep(seconds / 20)
            listener.meter.close(time.monotonic())
            memory.append(resident_bytes())
    await listener.close(1.0)
    upstream.stop()
    return report(listener, seen, memory)


def report(listener: Listener, seen: Counter[str], memory: list[int]) -> int:
    grown = sum(memory[-5:]) / 5 - sum(memory[5:10]) / 5
    tally = listener.tally
    print(f"answers: {dict(sorted(seen.items()))}")
    print(f"tally: {tally.client_aborts} aborts, {tally.upstream_retries} retries, {tally.upstream_failures} failures")
    left = (tally.clients_open, tally.upstream_open, listener.gate.waiting)
    print(f"left at the end: {left[0]} clients, {left[1]} upstream connections, {left[2]} waiting")
    print(f"memory: {memory[0] / 1e6:.1f} MB, then {memory[-1] / 1e6:.1f} MB; grown {grown / 1e6:.2f} MB")
    return 0 if left == (0, 0, 0) and grown < GROWTH_ALLOWED_BYTES else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.proxy.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0)
    return uvloop.run(soak(parser.parse_args().seconds))


if __name__ == "__main__":
    sys.exit(main())
