"""What a Kubernetes Service is to sidecars: one address that leads to whichever operator takes the connection."""

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import suppress

PIECE_BYTES = 65536


class Balancer:
    """Forwards connections to `port` of loopback to one of `targets`, in turn, skipping those that refuse.

    What passes arrives `delay` seconds later, which may change while connections are open.
    """

    def __init__(self, port: int, targets: Sequence[tuple[str, int]]) -> None:
        self._port = port
        self._targets = targets
        self.delay = 0.0
        self._turn = itertools.count()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        while self._open:
            for writer in self._open:
                writer.close()
            await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            await self._forward(reader, writer)
        finally:
            self._open.discard(writer)
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = next(self._turn)
        for offset in range(len(self._targets)):
            with suppress(OSError):
                target = self._targets[(first + offset) % len(self._targets)]
                far_reader, far_writer = await asyncio.open_connection(*target)
                break
        else:
            return
        try:
            ways = (reader, far_writer), (far_reader, writer)
            both = [asyncio.ensure_future(self._copy(source, sink)) for source, sink in ways]
            _, left = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in left:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
        finally:
            far_writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while data := await reader.read(PIECE_BYTES):
                loop.call_later(self.delay, writer.write, data)
                await writer.drain()
            await asyncio.sleep(self.delay)
