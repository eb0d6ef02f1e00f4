"""The shared resource: an HTTP server of a fixed number of workers, `python -m forefill_lab.demo.upstream`.

A request takes a worker for the service time; when all are busy it waits in line. So at most workers / service time
requests a second are served, and beyond that latency grows.
"""

import argparse
import asyncio
import heapq
import signal
import sys
from collections.abc import Sequence
from typing import cast

import httptools
import uvloop

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"ok": true}\n'


class Workers:
    """When each of the workers is free again. Pure: `now` is monotonic seconds."""

    def __init__(self, count: int, service_seconds: float) -> None:
        self._free_at = [0.0] * count
        self._service_seconds = service_seconds

    def take(self, now: float) -> float:
        """Give a request to the worker that is free first; when it will be done."""
        done_at = max(now, self._free_at[0]) + self._service_seconds
        heapq.heapreplace(self._free_at, done_at)
        return done_at


class Connection(asyncio.Protocol):
    """One connection of a sidecar. Answers go out in the order of their requests: service takes the same for all."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self._transport.close()

    def on_message_complete(self) -> None:
        self._loop.call_at(self._workers.take(self._loop.time()), self._answer, self._parser.should_keep_alive())

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None

    def _answer(self, is_kept: bool) -> None:
        if self._transport is None:
            return
        self._transport.write(ANSWER)
        if not is_kept:
            self._transport.close()


async def serve(port: int, workers: Workers) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = await loop.create_server(lambda: Connection(workers), "127.0.0.1", port)
    await ended.wait()
    server.close()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m forefill_lab.demo.upstream", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--service-seconds", type=float, required=True)
    options = parser.parse_args(arguments)
    try:
        uvloop.run(serve(options.port, Workers(options.workers, options.service_seconds)))
    except OSError as error:
        print(f"upstream: can't listen on 127.0.0.1:{options.port}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
