"""One connection to the admin port: bytes to requests and answers back, one at a time."""

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol, cast

from forefill_sidecar import answers
from forefill_sidecar.proxy.fields import BadHead
from forefill_sidecar.proxy.framing import BadBody, ChunkedFraming, Framing, LengthFraming
from forefill_sidecar.proxy.head import RequestHead, find_end, parse_request

MAX_BODY_BYTES: Final = 64 * 1024
IDLE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """`path` without its query; `query` as sent."""

    head: RequestHead
    path: str
    query: str
    body: bytes
    is_local: bool


class Api(Protocol):
    """Who answers."""

    def joined(self, connection: "ApiConnection") -> bool:
        """Count one more in; False when there are too many."""

    def left(self, connection: "ApiConnection") -> None: ...

    async def respond(self, request: ApiRequest) -> bytes:
        """A whole response."""


class ApiConnection(asyncio.Protocol):
    """One request at a time; what comes after it waits."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._head: RequestHead | None = None
        self._framing: Framing = LengthFraming(0)
        self._body = b""
        self._is_local = False
        self._answering: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._is_local = _is_loopback(peer) and _is_loopback(own)
        self._rest()
        if not self._api.joined(self):
            self.abort()

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        self._api.left(self)
        if self._idle is not None:
            self._idle.cancel()
        if self._answering is not None:
            self._answering.cancel()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > 2 * MAX_BODY_BYTES:
            self.abort()
        elif self._answering is None:
            self._read()

    def _rest(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self.abort)

    def _read(self) -> None:
        try:
            if self._head is None and not self._read_head():
                return
            taken = self._framing.feed(self._buffer)
            self._body += self._payload(self._buffer[:taken])
            self._buffer = self._buffer[taken:]
        except (BadHead, BadBody) as bad:
            self._end(answers.problem(getattr(bad, "status", 400), str(bad), is_last=True))
            return
        if len(self._body) > MAX_BODY_BYTES:
            self._end(answers.problem(413, f"the body is longer than {MAX_BODY_BYTES} bytes", is_last=True))
        elif self._framing.is_done:
            self._answering = asyncio.get_running_loop().create_task(self._answer())

    def _read_head(self) -> bool:
        end = find_end(self._buffer)
        if not end:
            return False
        head = self._head = parse_request(self._buffer[:end])
        self._buffer = self._buffer[end:]
        self._framing = ChunkedFraming(True) if head.is_chunked else LengthFraming(head.content_length or 0)
        if head.expects_continue:
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _payload(self, taken: bytes) -> bytes:
        return self._framing.take_payload() if isinstance(self._framing, ChunkedFraming) else taken

    async def _answer(self) -> None:
        head = cast(RequestHead, self._head)
        path, _, query = head.target.decode().partition("?")
        response = await self._api.respond(ApiRequest(head, path, query, self._body, self._is_local))
        self._answering, self._head, self._body = None, None, b""
        if not head.keeps_alive:
            self._end(response)
            return
        self._write(response)
        self._rest()
        if self._buffer:
            self._read()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _end(self, response: bytes) -> None:
        self._write(response)
        if self._transport is not None:
            self._transport.close()


def _is_loopback(address: tuple[str, int] | None) -> bool:
    return address is not None and (address[0].startswith("127.") or address[0] in ("::1", "::ffff:127.0.0.1"))
