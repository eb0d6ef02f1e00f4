"""Load: wrk as fast as it goes, and an own open loop at a constant rate for latencies.

The open loop starts each request when it is due, whether earlier ones were answered or not, so a proxy that stalls
is charged for every request that waited (no coordinated omission).
"""

import asyncio
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import uvloop

_REQUEST = b"GET /v1/items?page=2 HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench/1\r\nAccept: */*\r\n\r\n"


@dataclass(frozen=True)
class Throughput:
    """`failed` counts socket errors and, where none were wanted, answers other than 2xx."""

    requests: int
    seconds: float
    failed: int

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


# Every request differs, as those of traced applications do.
_TRACED = """
local n = 0
function request()
  n = n + 1
  local trace = string.format("00-4bf92f3577b34da6a3ce%012x-00f067aa0ba902b7-01", n)
  return wrk.format("GET", nil, {["Host"] = "127.0.0.1", ["traceparent"] = trace, ["Accept"] = "*/*",
    ["User-Agent"] = "bench/1", ["Authorization"] = "Bearer 0123456789abcdef0123456789abcdef"})
end
"""


def options(is_kept_alive: bool, is_traced: bool, script: Path) -> list[str]:
    """What wrk is to be told; `script` is a file it may write."""
    if not is_kept_alive:
        return ["-H", "Connection: close"]
    if not is_traced:
        return []
    script.write_text(_TRACED)
    return ["-s", str(script)]


def flat_out(port: int, connections: int, seconds: int, core: int, more: Sequence[str]) -> Throughput:
    """wrk with one thread."""
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}", *more]
    text = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/v1/items?page=2"], check=True, capture_output=True, text=True
    ).stdout
    done = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", text)
    if done is None:
        raise RuntimeError(f"wrk said: {text}")
    errors = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    others = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    failed = (sum(map(int, errors.groups())) if errors else 0) + (int(others[1]) if others else 0)
    return Throughput(int(done[1]), float(done[2]) * {"ms": 0.001, "s": 1.0, "m": 60.0}[done[3]], failed)


class _Client(asyncio.Protocol):
    """Remembers when each request was due; answers have a known length."""

    def __init__(self, latencies: list[float], answer_bytes: int) -> None:
        self._latencies = latencies
        self._answer_bytes = answer_bytes
        self._due: list[float] = []
        self._received = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, due: float) -> None:
        self._due.append(due)
        cast(asyncio.Transport, self._transport).write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        while self._received >= self._answer_bytes and self._due:
            self._received -= self._answer_bytes
            self._latencies.append(time.perf_counter() - self._due.pop(0))


async def _pace(port: int, connections: int, per_second: float, seconds: float, answer_bytes: int) -> list[float]:
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(lambda: _Client(latencies, answer_bytes), "127.0.0.1", port)
        clients.append(client)
    begun, sent = time.perf_counter(), 0
    while (now := time.perf_counter()) - begun < seconds:
        while sent < (now - begun) * per_second:
            clients[sent % connections].send(begun + sent / per_second)
            sent += 1
        await asyncio.sleep(0.0005)
    await asyncio.sleep(0.5)
    return latencies


async def _answer_bytes(port: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    found = re.search(rb"[Cc]ontent-[Ll]ength: (\d+)", head)
    if found is None:
        raise RuntimeError(f"an answer without a length: {head!r}")
    writer.close()
    return len(head) + int(found[1])


async def _measure(port: int, connections: int, per_second: float, seconds: float) -> list[float]:
    answer_bytes = await _answer_bytes(port)
    return sorted(await _pace(port, connections, per_second, seconds, answer_bytes))


def at_constant_rate(port: int, connections: int, per_second: float, seconds: float) -> list[float]:
    """Latencies in seconds, ascending."""
    return uvloop.run(_measure(port, connections, per_second, seconds))
