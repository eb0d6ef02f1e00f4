"""What the sidecar holds: idle, with connections open, and while a gigabyte passes each way.

`python -m bench.proxy.holding [--write docs/benchmarks.md]`; 10,000 connections need `ulimit -n 65536`.
"""

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop
from bench.proxy import report
from bench.proxy.peers import Setup, forefill
from bench.proxy.processes import Program, running

PROXY_CORE = 1
UPSTREAM_PORT, PORT = 21990, 21991
AT_ONCE = 1000
GIGABYTE = 1 << 30
PIECE = b"x" * (1 << 16)
GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
BEGIN, END = "<!-- holding: begin -->", "<!-- holding: end -->"


@dataclass
class Peak:
    """The most memory that a program held while this was watched, in bytes."""

    program: Program
    most: int = 0

    async def watch(self) -> None:
        while True:
            self.most = max(self.most, self.program.used().resident_bytes)
            await asyncio.sleep(0.02)

    @contextmanager
    def watching(self) -> Iterator["Peak"]:
        task = asyncio.create_task(self.watch())
        try:
            yield self
        finally:
            task.cancel()


@asynccontextmanager
async def upstream() -> AsyncIterator[None]:
    """Answers GET /a with two bytes, GET /big with a gigabyte, and POST once it has read the body."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"POST"):
                    left = GIGABYTE
                    while left:
                        left -= len(await reader.read(1 << 18))
                if head.startswith(b"GET /big"):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIGABYTE)
                    for _ in range(GIGABYTE // len(PIECE)):
                        writer.write(PIECE)
                        await writer.drain()
                else:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", UPSTREAM_PORT, backlog=4096)
    try:
        yield
    finally:
        server.close()


async def connections(count: int) -> int:
    """Open that many, send two requests over each, AT_ONCE at a time; answers how many answers were wrong."""
    opened, limit = [], asyncio.Semaphore(AT_ONCE)
    for _ in range(count):
        opened.append(await asyncio.open_connection("127.0.0.1", PORT))

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        async with limit:
            writer.write(GET)
            answer = await reader.read(1024)
        if not answer.startswith(b"HTTP/1.1 200 "):
            print(answer, file=sys.stderr)
        return answer.startswith(b"HTTP/1.1 200 ")

    wrong = 0
    for _ in range(2):
        wrong += count - sum(await asyncio.gather(*(once(reader, writer) for reader, writer in opened)))
    for _, writer in opened:
        writer.transport.abort()
    return wrong


async def upload() -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % GIGABYTE)
    for _ in range(GIGABYTE // len(PIECE)):
        writer.write(PIECE)
        await writer.drain()
    await reader.readuntil(b"\r\n\r\nok")
    writer.close()


async def download() -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    left = GIGABYTE
    while left:
        left -= len(await reader.read(1 << 18))
    writer.close()


async def measure(folder: Path) -> list[tuple[str, str]]:
    rows = []
    setup = Setup(PORT, UPSTREAM_PORT, 1_000_000, folder)
    async with upstream():
        for name, count in (("1,000 connections", 1_000), ("10,000 connections", 10_000)):
            with running(forefill(setup), PORT, PROXY_CORE, folder / "log") as program:
                if not rows:
                    rows += await idle(program)
                with Peak(program).watching() as peak:
                    wrong = await connections(count)
                rows.append((f"memory with {name}", f"{peak.most / 1e6:.0f} MB, {wrong} wrong answers"))
        for name, passing in (("up", upload), ("down", download)):
            with running(forefill(setup), PORT, PROXY_CORE, folder / "log") as program:
                before, begun = program.used().resident_bytes, time.monotonic()
                with Peak(program).watching() as peak:
                    await passing()
                seconds = time.monotonic() - begun
                grown = (peak.most - before) / 1e6
                rows.append((f"1 GB {name}", f"memory grows by {grown:.1f} MB at most, {1074 / seconds:,.0f} MB/s"))
    return rows


async def idle(program: Program) -> list[tuple[str, str]]:
    before, begun = program.used(), time.monotonic()
    await asyncio.sleep(10.0)
    after = program.used()
    milli = (after.cpu_seconds - before.cpu_seconds) / (time.monotonic() - begun) * 1e3
    return [("memory when idle", f"{after.resident_bytes / 1e6:.1f} MB"), ("CPU when idle", f"{milli:.1f} mcore")]


async def ready_after(folder: Path) -> tuple[str, str]:
    """Median of five starts, to the first connection that is accepted."""
    taken = []
    for _ in range(5):
        begun = time.monotonic()
        with running(forefill(Setup(PORT, UPSTREAM_PORT, 1, folder)), PORT, PROXY_CORE, folder / "log", 0.005):
            taken.append(time.monotonic() - begun)
    return ("ready after", f"{sorted(taken)[2] * 1e3:.0f} ms (with the interpreter's own start)")


async def main_async() -> str:
    with tempfile.TemporaryDirectory(prefix="forefill-bench-") as folder:
        rows = [await ready_after(Path(folder)), *await measure(Path(folder))]
    lines = ["`python -m bench.proxy.holding`, the proxy on a core of its own.", "", "| what | figure |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {figure} |" for name, figure in rows)])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.proxy.holding", description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this Markdown file")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    text = uvloop.run(main_async())
    print(text)
    if options.write:
        report.put_between(options.write, BEGIN, END, "## What the sidecar holds", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
