"""The door of the stream server: reads one HTTP head, authenticates, then hands the connection to the WebSocket.

picows asks for a listener synchronously, but a TokenReview takes a round trip to the API server. So the head is read
here, the answer awaited, and only an authenticated connection becomes a WebSocket; others get a status and a close.
"""

import asyncio
import base64
import binascii
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import cast

from picows import WSListener, WSUpgradeRequest
from picows.picows import WSAutoPingStrategy, WSProtocol  # type: ignore[attr-defined]

from forefill_operator.acceptor import Arrival
from forefill_operator.door import Admitted, Presented
from forefill_operator.identity import Rejected

# A token of up to 4 KiB and sixteen tickets.
MAX_HEAD_BYTES = 16 * 1024
HEAD_SECONDS = 5.0
PING_AFTER_IDLE_SECONDS = 20.0
TICKET_HEADER = b"forefill-ticket"

Admit = Callable[[Presented], Awaitable[Admitted]]
MakeSession = Callable[[Admitted, Arrival], WSListener]
CountRejected = Callable[[int], None]

_PHRASES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    429: "Too Many Requests",
    503: "Service Unavailable",
}
# Refusals that are no fault of who is refused.
_BLAMELESS = (429, 503)
# picows makes a child of a Logger for each stream, but not of an adapter.
_picows_log = logging.LoggerAdapter(logging.getLogger("picows.server"))
_picows_log.setLevel(logging.WARNING)


class Upgrade(asyncio.Protocol):
    """One connection until it is a WebSocket or closed."""

    def __init__(
        self,
        arrival: Arrival,
        path: bytes,
        admit: Admit,
        make_session: MakeSession,
        count_rejected: CountRejected,
        max_frame_bytes: int,
    ) -> None:
        self._arrival = arrival
        self._path = path
        self._admit = admit
        self._make_session = make_session
        self._count_rejected = count_rejected
        self._max_frame_bytes = max_frame_bytes
        self._head = bytearray()
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = self._arrival.transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._reject, 408, "no request came")

    def data_received(self, data: bytes) -> None:
        self._head += data
        if len(self._head) > MAX_HEAD_BYTES:
            self._reject(400, f"the request head exceeds {MAX_HEAD_BYTES} bytes")
        elif self._task is None and b"\r\n\r\n" in self._head:
            self._timer.cancel()
            self._transport.pause_reading()
            self._task = asyncio.get_running_loop().create_task(self._decide())

    def connection_lost(self, error: Exception | None) -> None:
        self._timer.cancel()
        self._arrival.end()
        if self._task is not None:
            self._task.cancel()

    async def _decide(self) -> None:
        try:
            admitted = await self._admit(read_head(bytes(self._head), self._path))
        except Rejected as rejected:
            self._reject(rejected.code, rejected.sentence)
            return
        if not self._transport.is_closing():
            self._become_websocket(admitted)

    def _become_websocket(self, admitted: Admitted) -> None:
        def accept(request: WSUpgradeRequest) -> WSListener:
            return self._make_session(admitted, self._arrival)

        websocket = WSProtocol(
            None, None, False, accept, _picows_log, True, HEAD_SECONDS,
            True, PING_AFTER_IDLE_SECONDS, PING_AFTER_IDLE_SECONDS, WSAutoPingStrategy.PING_WHEN_IDLE, True,
            self._max_frame_bytes, None, 2048,
        )  # fmt: skip
        self._transport.set_protocol(websocket)
        websocket.connection_made(self._transport)
        feed(websocket, bytes(self._head))
        if self._arrival.is_unfinished:
            self._count_rejected(400)
            self._arrival.fail()
            self._arrival.end()
            self._transport.abort()
        elif not self._transport.is_closing():
            self._transport.resume_reading()

    def _reject(self, code: int, sentence: str) -> None:
        self._timer.cancel()
        if self._transport.is_closing():
            return
        self._count_rejected(code)
        if code in _BLAMELESS:
            self._arrival.finish()
        else:
            self._arrival.fail()
        body = (sentence + "\n").encode()
        head = (
            f"HTTP/1.1 {code} {_PHRASES[code]}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self._transport.write(head.encode() + body)
        # TLS ends with the peer's own close_notify, which must be read to be seen.
        if self._task is not None:
            self._transport.resume_reading()
        self._transport.close()


def read_head(head: bytes, path: bytes) -> Presented:
    """What a request for `path` shows. Raises Rejected; nothing that it shows is in the sentence."""
    request_line, *lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
    parts = request_line.split(b" ")
    if len(parts) != 3 or parts[0] != b"GET" or parts[2] != b"HTTP/1.1":
        raise Rejected(400, "only GET with HTTP/1.1 is answered here")
    if parts[1] != path:
        raise Rejected(404, f"nothing is served here but {path.decode()}")
    if [value.lower() for value in _values(lines, b"upgrade")] != [b"websocket"]:
        raise Rejected(400, "only the upgrade to a WebSocket is answered here")
    values = list(_values(lines, b"authorization"))
    if len(values) != 1 or not values[0].startswith(b"Bearer "):
        raise Rejected(401, "the upgrade needs exactly one header Authorization: Bearer TOKEN")
    try:
        token = values[0][len(b"Bearer ") :].strip().decode("ascii")
    except UnicodeDecodeError:
        raise Rejected(401, "the bearer token holds bytes that are not ASCII") from None
    shown = [ticket for value in _values(lines, TICKET_HEADER) for ticket in value.split(b",")]
    return Presented(token, [_decoded(ticket.strip()) for ticket in shown])


def _values(lines: list[bytes], name: bytes) -> Iterator[bytes]:
    for line in lines:
        found, _, value = line.partition(b":")
        if found.lower() == name:
            yield value.strip()


def _decoded(ticket: bytes) -> bytes:
    """Empty, which no key has signed, for what is not base64url."""
    try:
        return base64.urlsafe_b64decode(ticket + b"=" * (-len(ticket) % 4))
    except (binascii.Error, ValueError):
        return b""


def feed(websocket: "WSProtocol", data: bytes) -> None:
    """Give bytes that were read before the hand-over to a buffered protocol."""
    view = memoryview(data)
    while view:
        buffer = websocket.get_buffer(len(view))
        size = min(len(buffer), len(view))
        buffer[:size] = view[:size]
        websocket.buffer_updated(size)
        view = view[size:]
