"""The client's half of a stream, as lean as a load generator needs: TLS in memory, WebSocket frames, no timers.

A sidecar's own client would do, at ten times the memory and twice the time a message: thirty thousand of them would
measure themselves. What goes over the wire is the same.
"""

import asyncio
import base64
import os
import ssl
from collections.abc import Callable
from typing import cast

from forefill_protocol.messages import STREAM_PATH

_BINARY, _CLOSE, _PING, _PONG = 0x82, 0x88, 0x89, 0x8A
READ_BYTES = 16384


class StreamRefused(Exception):
    """The operator did not open the stream; what it said."""


class Wire(asyncio.Protocol):
    """One stream. `receive` gets each binary message, `opened` ends when the operator has agreed."""

    __slots__ = (
        "_incoming",
        "_outgoing",
        "_rest",
        "_shaken",
        "_tls",
        "_token",
        "_transport",
        "closed",
        "opened",
        "receive",
    )

    def __init__(self, context: ssl.SSLContext, host: str, token: str, receive: Callable[[bytes], None]) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._token = token
        self._shaken = False
        self._rest = b""
        self._transport: asyncio.Transport | None = None
        self.receive = receive
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports only look like asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if not self.opened.done():
            self.opened.set_exception(StreamRefused(str(exc or "the connection was closed")))

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        self._advance()

    def send(self, message: bytes) -> None:
        """One binary message. The mask is zero: masking protects proxies, and there is none."""
        if self._transport is None or self.closed:
            return
        length = len(message)
        size = bytes((0x80 | length,)) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
        self._write(bytes((_BINARY,)) + size + b"\0\0\0\0" + message)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # TLS

    def _advance(self) -> None:
        """Take in what has come, as far as it goes."""
        try:
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
                self._upgrade()
            while data := self._tls.read(READ_BYTES):
                self._take(data)
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._refused(str(error))

    def _upgrade(self) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            f"GET {STREAM_PATH} HTTP/1.1", "Host: operator", "Upgrade: websocket", "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", f"Authorization: Bearer {self._token}", "", "",
        )  # fmt: skip
        self._write("\r\n".join(lines).encode())

    def _write(self, data: bytes) -> None:
        self._tls.write(data)
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and self._transport is not None:
            self._transport.write(self._outgoing.read())

    # WebSocket

    def _take(self, data: bytes) -> None:
        if not self.opened.done():
            self._answered(data)
            return
        data = self._rest + data
        at = 0
        while (frame := _frame(data, at)) is not None:
            kind, begin, end = frame
            if kind == _BINARY:
                self.receive(data[begin:end])
            elif kind == _PING:
                self._write(bytes((_PONG, 0x80 | (end - begin))) + b"\0\0\0\0" + data[begin:end])
            elif kind == _CLOSE:
                self.close()
            at = end
        self._rest = data[at:]

    def _answered(self, data: bytes) -> None:
        head, blank, rest = data.partition(b"\r\n\r\n")
        if not blank or not head.startswith(b"HTTP/1.1 101 "):
            self._refused(head.partition(b"\r\n")[0].decode("latin-1"))
            return
        self._rest = b""
        self.opened.set_result(None)
        if rest:
            self._take(rest)

    def _refused(self, said: str) -> None:
        if not self.opened.done():
            self.opened.set_exception(StreamRefused(said))
        self.close()


def _frame(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Kind, begin and end of the payload of the frame at `at`; None while it is incomplete."""
    if len(data) < at + 2:
        return None
    length, begin = data[at + 1] & 0x7F, at + 2
    if length == 126:
        length, begin = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
    elif length == 127:
        length, begin = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
    end = begin + length
    return (data[at], begin, end) if len(data) >= end and begin <= len(data) else None
