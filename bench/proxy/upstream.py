"""What every proxy of the comparison sends to: answers each head with the same body, as fast as one core can.

`python -m bench.proxy.upstream PORT BYTES`
"""

import asyncio
import sys
from typing import cast

import uvloop


class Answering(asyncio.Protocol):
    def __init__(self, response: bytes) -> None:
        self._response = response
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        *heads, self._buffer = (self._buffer + data).split(b"\r\n\r\n")
        cast(asyncio.Transport, self._transport).write(self._response * len(heads))


async def serve(port: int, body_bytes: int) -> None:
    body = b"x" * body_bytes
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % body_bytes
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answering(head + body), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
