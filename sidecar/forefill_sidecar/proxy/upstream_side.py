"""One connection to the upstream: sends requests, reads responses, and goes back to its keeper in between."""

import asyncio
import select
import time
from typing import Protocol

from forefill_sidecar.proxy.fields import BadHead
from forefill_sidecar.proxy.framing import BadBody, ChunkedFraming, CloseFraming, Framing
from forefill_sidecar.proxy.head import MAX_HEAD_BYTES, ResponseHead, find_end
from forefill_sidecar.proxy.known import Response, read_response
from forefill_sidecar.proxy.link import Link
from forefill_sidecar.proxy.tunnel import Tunnel

_BODILESS = (204, 304)
# The only reason to stop reading here.
_CLIENT_IS_FULL = 1


class Asker(Protocol):
    """The exchange that a connection carries; see Exchange."""

    is_request_done: bool
    tunnel: Tunnel | None
    is_watched: bool
    is_dechunked: bool
    is_plain: bool

    def framing_of(self, head: ResponseHead) -> Framing: ...
    def interim(self, response: Response) -> None: ...
    def respond(self, now: float, response: Response, data: bytes, end: int) -> None: ...
    def response_body(self, data: bytes) -> None: ...
    def read_content(self, content: bytes) -> None: ...
    def response_done(self) -> None: ...
    def wants_upgrade(self) -> bool: ...
    def open_tunnel(self, response: Response, data: bytes) -> None: ...
    def upstream_lost(self, sentence: str) -> None: ...
    def pause_client(self) -> None: ...
    def resume_client(self) -> None: ...


class Keeper(Protocol):
    """Who counts connections and keeps idle ones; see Pool."""

    def opened(self, connection: "UpstreamConnection") -> None: ...
    def closed(self, connection: "UpstreamConnection") -> None: ...
    def give_back(self, now: float, connection: "UpstreamConnection", idle_seconds: int | None) -> None: ...


class UpstreamConnection(Link):
    """Carries one exchange at a time, its `asker`, who writes to it.

    It `is_fit` for another until either side ends it; `stays` is the keeper's.
    """

    __slots__ = (
        "_buffer",
        "_framing",
        "_head",
        "_keeper",
        "_saw_end",
        "asker",
        "idle_until",
        "is_fit",
        "is_reused",
        "peer",
        "stays",
    )

    def __init__(self, keeper: Keeper) -> None:
        super().__init__()
        self._keeper = keeper
        self.asker: Asker | None = None
        self._head: ResponseHead | None = None
        self._framing: Framing | None = None
        self._buffer = b""
        self._saw_end = False
        self.is_fit = False
        self.is_reused = False
        self.stays = True
        self.idle_until = 0.0
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if peer else ""
        self.is_fit = True
        self._keeper.opened(self)

    def connection_lost(self, failure: Exception | None) -> None:
        super().connection_lost(failure)
        self.is_fit = False
        self._keeper.closed(self)
        asker, self.asker = self.asker, None
        if asker is None:
            return
        if isinstance(self._framing, CloseFraming) and self._saw_end:
            asker.response_done()
        else:
            asker.upstream_lost("the upstream closed the connection before its response was complete")

    def break_off(self) -> None:
        """End at once; the exchange hears nothing more."""
        self.asker, self.is_fit = None, False
        self.abort()

    def leave(self) -> None:
        """End once everything written has gone out; the exchange hears nothing more."""
        self.asker, self.is_fit = None, False
        self.close()

    def is_usable(self) -> bool:
        """Whether an idle connection still stands; asks the kernel, since the loop may not have read an end yet."""
        if self._transport is None or not self.is_fit:
            return False
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    def pause(self) -> None:
        self.hold(_CLIENT_IS_FULL)

    def resume(self) -> None:
        self.release(_CLIENT_IS_FULL)

    def pause_writing(self) -> None:
        if self.asker is not None:
            self.asker.pause_client()

    def resume_writing(self) -> None:
        if self.asker is not None:
            self.asker.resume_client()

    def eof_received(self) -> bool:
        self._saw_end, self.is_fit = True, False
        asker = self.asker
        if asker is not None and asker.tunnel:
            asker.tunnel.upstream_ended()
            return True
        return False

    def data_received(self, data: bytes) -> None:
        asker = self.asker
        if asker is None:
            # Nobody asked: what comes now could be taken for the answer to the next request.
            self.break_off()
            return
        try:
            if self._framing is not None:
                self._read_body(asker, self._framing, data)
            elif asker.tunnel:
                asker.response_body(data)
            else:
                self._read_head(asker, self._buffer + data if self._buffer else data)
        except (BadHead, BadBody) as bad:
            self.break_off()
            asker.upstream_lost(f"the upstream's response can't be trusted: {bad}")

    def _read_head(self, asker: Asker, data: bytes) -> None:
        while (end := data.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES) + 4) >= 4:
            response = read_response(data[:end])
            if response.head.status >= 200:
                self._begin_response(asker, response, data, end)
                return
            data = data[end:]
            if response.head.status == 101:
                self._switch(asker, response, data)
                return
            asker.interim(response)
        find_end(data)
        self._buffer = data

    def _begin_response(self, asker: Asker, response: Response, data: bytes, end: int) -> None:
        now, head = time.monotonic(), response.head
        self._buffer = b""
        if head.content_length == len(data) - end and asker.is_plain and head.status not in _BODILESS:
            # The common case, all in one piece: no framing has to be made for it.
            asker.respond(now, response, data, end)
            self._complete(now, asker, head, True)
            return
        framing = self._framing = asker.framing_of(head)
        taken = framing.feed(data[end:]) + end
        self._head = head
        asker.respond(now, response, data[:end] + self._passed_on(asker, framing, data[end:taken]), end)
        if framing.is_done:
            self._complete(now, asker, head, taken == len(data))

    def _read_body(self, asker: Asker, framing: Framing, data: bytes) -> None:
        taken = framing.feed(data)
        asker.response_body(self._passed_on(asker, framing, data if taken == len(data) else data[:taken]))
        if framing.is_done and self._head is not None:
            self._complete(time.monotonic(), asker, self._head, taken == len(data))

    def _passed_on(self, asker: Asker, framing: Framing, taken: bytes) -> bytes:
        """What the client gets of a piece of the body; who watches the body's content gets to see it."""
        if not asker.is_watched and not asker.is_dechunked:
            return taken
        content = framing.take_payload() if isinstance(framing, ChunkedFraming) else taken
        if asker.is_watched:
            asker.read_content(content)
        return content if asker.is_dechunked else taken

    def _switch(self, asker: Asker, response: Response, data: bytes) -> None:
        if not asker.wants_upgrade() or response.head.upgrade != b"websocket":
            raise BadHead(502, "it switches to a protocol that nobody asked for")
        self._buffer = b""
        asker.open_tunnel(response, data)

    def _complete(self, now: float, asker: Asker, head: ResponseHead, is_clean: bool) -> None:
        self.asker = self._head = self._framing = None
        if is_clean and head.keeps_alive and asker.is_request_done and self.is_fit:
            self.is_reused = True
            if self._holds:
                self.resume()
            self._keeper.give_back(now, self, head.idle_seconds)
        else:
            self.break_off()
        asker.response_done()
