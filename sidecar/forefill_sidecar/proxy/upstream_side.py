"""One connection to the upstream: sends requests, reads responses, and goes back to the pool in between."""

import asyncio
import select
import time
from typing import TYPE_CHECKING, cast

from forefill_sidecar.proxy.fields import BadHead
from forefill_sidecar.proxy.framing import BadBody, ChunkedFraming, CloseFraming, Framing
from forefill_sidecar.proxy.head import ResponseHead, find_end, parse_response

if TYPE_CHECKING:
    from forefill_sidecar.proxy.exchange import Exchange
    from forefill_sidecar.proxy.pool import Pool


class UpstreamConnection(asyncio.Protocol):
    """Carries one exchange at a time."""

    __slots__ = (
        "_buffer",
        "_exchange",
        "_framing",
        "_head",
        "_is_paused",
        "_pool",
        "_saw_end",
        "_transport",
        "idle_until",
        "is_reused",
        "peer",
    )

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._head: ResponseHead | None = None
        self._framing: Framing | None = None
        self._buffer = b""
        self._is_paused = False
        self._saw_end = False
        self.is_reused = False
        self.idle_until = 0.0
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._pool.opened(self)
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if peer else ""

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        self._pool.closed(self)
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if isinstance(self._framing, CloseFraming) and self._saw_end:
            exchange.response_done()
        else:
            exchange.upstream_lost("the upstream closed the connection before its response was complete")

    def begin(self, exchange: "Exchange", data: bytes) -> None:
        """Send a request's first bytes."""
        self._exchange = exchange
        self.write(data)

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def write_eof(self) -> None:
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    def pause(self) -> None:
        if self._transport is not None and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Break off at once; the exchange hears nothing more."""
        self._exchange = None
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close once everything written has gone out; the exchange hears nothing more."""
        self._exchange = None
        if self._transport is not None:
            self._transport.close()

    def is_usable(self) -> bool:
        """Whether an idle connection still stands; asks the kernel, since the loop may not have read an end yet."""
        if self._transport is None or self._transport.is_closing():
            return False
        sock = self._transport.get_extra_info("socket")
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return not poll.poll(0)

    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def pause_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.pause_client()

    def resume_writing(self) -> None:
        if self._exchange is not None:
            self._exchange.resume_client()

    def eof_received(self) -> bool:
        self._saw_end = True
        exchange = self._exchange
        if exchange is not None and exchange.is_tunnel:
            exchange.upstream_end_of_input()
            return True
        return False

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            # Nobody asked: what comes now could be taken for the answer to the next request.
            self.abort()
        elif exchange.is_tunnel:
            exchange.response_body(data)
        else:
            try:
                self._read(exchange, data)
            except (BadHead, BadBody) as bad:
                self._exchange = None
                if self._transport is not None:
                    self._transport.abort()
                exchange.upstream_lost(f"the upstream's response can't be trusted: {bad}")

    def _read(self, exchange: "Exchange", data: bytes) -> None:
        framing = self._framing
        if framing is None:
            self._read_head(exchange, self._buffer + data if self._buffer else data)
            return
        taken = framing.feed(data)
        exchange.response_body(self._passed_on(exchange, framing, data if taken == len(data) else data[:taken]))
        if framing.is_done:
            self._complete(exchange, taken == len(data))

    def _passed_on(self, exchange: "Exchange", framing: Framing, taken: bytes) -> bytes:
        """What the client gets of a piece of the body; who watches the body's content gets to see it."""
        if not exchange.is_watched and not exchange.is_dechunked:
            return taken
        content = framing.take_payload() if isinstance(framing, ChunkedFraming) else taken
        if exchange.is_watched:
            exchange.read_content(content)
        return content if exchange.is_dechunked else taken

    def _read_head(self, exchange: "Exchange", data: bytes) -> None:
        end = find_end(data)
        while end:
            head, data = parse_response(data[:end]), data[end:]
            if head.status >= 200:
                self._begin_response(exchange, head, data)
                return
            if head.status == 101:
                self._switch(exchange, head, data)
                return
            exchange.interim(head)
            end = find_end(data)
        self._buffer = data

    def _begin_response(self, exchange: "Exchange", head: ResponseHead, data: bytes) -> None:
        framing = exchange.framing_of(head)
        taken = framing.feed(data)
        self._buffer, self._head, self._framing = b"", head, framing
        exchange.respond(head, framing, self._passed_on(exchange, framing, data[:taken]))
        if framing.is_done:
            self._complete(exchange, taken == len(data))

    def _switch(self, exchange: "Exchange", head: ResponseHead, data: bytes) -> None:
        if not exchange.wants_upgrade() or head.upgrade != b"websocket":
            raise BadHead(502, "it switches to a protocol that nobody asked for")
        exchange.open_tunnel(head, data)

    def _complete(self, exchange: "Exchange", is_clean: bool) -> None:
        head = cast(ResponseHead, self._head)
        self._exchange = self._head = self._framing = None
        if is_clean and head.keeps_alive and exchange.is_request_done and self.is_open():
            self.is_reused = True
            self.resume()
            self._pool.give_back(self, head.idle_seconds)
        elif self._transport is not None:
            self._transport.abort()
        exchange.response_done()

    def rest_until(self, now: float, seconds: float) -> None:
        """Count as fresh for so long."""
        self.idle_until = now + seconds

    def has_expired(self, now: float | None = None) -> bool:
        return self.idle_until <= (time.monotonic() if now is None else now)
