"""One connection of a client: reads requests one after another and answers in their order."""

import asyncio
import time
from collections.abc import Callable
from math import inf
from typing import cast

from forefill_sidecar.line import Refusal
from forefill_sidecar.proxy import address, framing, own_answers
from forefill_sidecar.proxy.asking_side import Client
from forefill_sidecar.proxy.exchange import Exchange
from forefill_sidecar.proxy.fields import BadHead
from forefill_sidecar.proxy.framing import BadBody, Framing, LengthFraming
from forefill_sidecar.proxy.head import MAX_HEAD_BYTES, after_empty_lines, find_end
from forefill_sidecar.proxy.known import Request
from forefill_sidecar.proxy.pacing import BODY_IS_HELD, PIPELINE_IS_LONG, UPSTREAM_IS_FULL, PacedLink
from forefill_sidecar.proxy.shared import Shared
from forefill_sidecar.proxy.tunnel import Tunnel

_CARRIAGE_RETURN = 0x0D
_NOTHING_YET = LengthFraming(0)

# Where a connection is: in a head, in a body, waiting for a response, passing a tunnel's bytes, skipping the body of a
# request that was answered without it, or reading on until the client has seen the last answer.
_HEAD, _BODY, _WAIT, _TUNNEL, _DISCARD, _LINGER = range(6)


class ClientConnection(PacedLink):
    """What comes after a request's end is kept until its response is complete."""

    __slots__ = ("_buffer", "_framing", "_is_parsing", "_make", "_phase", "peer")

    def __init__(self, shared: Shared, make: Callable[[Client, Shared, Request], Exchange]) -> None:
        super().__init__(shared)
        self._make = make
        self._framing: Framing = _NOTHING_YET
        self._phase = _HEAD
        self._buffer = b""
        self._is_parsing = False
        self.peer: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.peer = address.outside_peer(transport.get_extra_info("peername"))
        if not self._shared.crowd.join(self):
            self.answer_problem(503, "too many connections are open")
            return
        self.deadline = self._shared.crowd.soon + self._shared.limits.idle_seconds

    def connection_lost(self, failure: Exception | None) -> None:
        super().connection_lost(failure)
        self.deadline = inf
        self._shared.crowd.leave(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._shared.tally.client_aborts += 1
            exchange.client_gone()

    def data_received(self, data: bytes) -> None:
        phase = self._phase
        if phase == _HEAD:
            self._buffer = self._buffer + data if self._buffer else data
            if self._is_choked:
                self._hold_if_long(self._buffer)
            else:
                self._parse()
        elif phase == _BODY:
            self._read_body(data)
        elif phase == _WAIT:
            self._buffer += data
            self._hold_if_long(self._buffer)
        elif phase == _TUNNEL:
            cast(Exchange, self._exchange).send_body(data)
        elif phase == _DISCARD:
            self._discard(data)

    def eof_received(self) -> bool:
        if self._phase == _TUNNEL:
            cast(Tunnel, cast(Exchange, self._exchange).tunnel).client_ended()
            return True
        return False

    def finished(self) -> None:
        """The exchange's response is complete: go on with the next request, or end."""
        exchange = cast(Exchange, self._exchange)
        self._exchange = None
        if exchange.is_last or self._shared.is_draining:
            self._end()
        else:
            self._next_request()

    def refuse(self, refusal: Refusal) -> None:
        """Answer 429."""
        is_last = own_answers.is_last(self._exchange, self._shared)
        self._answer(429, own_answers.refusal(refusal, self._exchange, self._shared, is_last), is_last)

    def answer_problem(self, status: int, sentence: str) -> None:
        """Answer with an error of our own."""
        is_last = own_answers.is_last(self._exchange, self._shared) or status in (400, 408, 503)
        self._answer(status, own_answers.problem(status, sentence, self._exchange, is_last), is_last)

    def timed_out(self) -> None:
        """The deadline passed."""
        if self._phase == _HEAD and self._buffer:
            self.answer_problem(408, "the request's head took too long")
        elif self._phase == _BODY and not cast(Exchange, self._exchange).is_response_begun:
            self._break_off(408, "the request's body took too long")
        elif self._phase == _HEAD:
            self.close()
        else:
            self.abort()

    def drain(self) -> None:
        """Take no more requests; close at once when none is under way."""
        if self._phase == _HEAD and not self._buffer:
            self.close()

    def tunnel_opened(self) -> None:
        self._phase = _TUNNEL
        self.deadline = inf
        early, self._buffer = self._buffer, b""
        if early:
            cast(Exchange, self._exchange).send_body(early)

    def _reads_on(self) -> None:
        if self._phase == _BODY:
            self._due_in(self._shared.limits.body_seconds)

    def _writes_on(self) -> None:
        self._parse()

    def _parse(self) -> None:
        """Start the request at the front of the buffer, and those after it as far as they are decided at once."""
        if self._is_parsing:
            return
        self._is_parsing = True
        try:
            while self._buffer and self._phase == _HEAD and not self._is_choked and self._start_request():
                if self._holds:
                    self.release(PIPELINE_IS_LONG)
        except BadHead as bad:
            self.answer_problem(bad.status, bad.sentence)
        except BadBody as bad:
            self._break_off(400, str(bad))
        finally:
            self._is_parsing = False

    def _start_request(self) -> bool:
        buffer, shared = self._buffer, self._shared
        end = buffer.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES) + 4
        if end < 4 or buffer[0] == _CARRIAGE_RETURN:
            end, buffer = self._look_closer(), self._buffer
            if not end:
                return False
        request = shared.read(buffer[:end])
        self._exchange = exchange = self._make(self, shared, request)
        if request.has_body:
            self._framing = framing.of(request.head.content_length, request.head.is_chunked)
            self._buffer = b""
            self._phase = _BODY
            self._read_body(buffer[end:])
            if self._exchange is not exchange:
                return True
        else:
            self._buffer = buffer[end:]
            self._phase = _WAIT
            self.deadline = inf
            exchange.is_request_done = True
            shared.meter.sized(0)
        exchange.start(time.monotonic())
        return True

    def _look_closer(self) -> int:
        """A head is incomplete, or empty lines come before it."""
        self._buffer = after_empty_lines(self._buffer)
        end = find_end(self._buffer)
        if not end:
            # A head that comes in pieces has its time from the first one on.
            self.deadline = min(self.deadline, self._shared.crowd.soon + self._shared.limits.head_seconds)
        return end

    def _read_body(self, data: bytes) -> None:
        body, exchange = self._framing, cast(Exchange, self._exchange)
        try:
            taken = body.feed(data)
        except BadBody as bad:
            self._break_off(400, str(bad))
            return
        if taken:
            exchange.send_body(data if taken == len(data) else data[:taken])
        if body.is_done:
            self._phase = _WAIT
            self._buffer = data[taken:]
            self.deadline = inf
            exchange.end_request(body.payload_bytes)
        elif not self._holds:
            self._due_in(self._shared.limits.body_seconds)

    def _break_off(self, status: int, sentence: str) -> None:
        """The request can't be read on: its exchange ends, and the connection after an answer if none has begun."""
        exchange, self._exchange = cast(Exchange, self._exchange), None
        exchange.client_gone()
        if exchange.is_response_begun:
            self.abort()
        else:
            self.answer_problem(status, sentence)

    def _discard(self, data: bytes) -> None:
        try:
            taken = self._framing.feed(data)
        except BadBody:
            self.abort()
            return
        if self._framing.is_done:
            self._buffer = data[taken:]
            self._next_request()

    def _next_request(self) -> None:
        self._phase = _HEAD
        self.deadline = self._shared.crowd.soon + self._shared.limits.idle_seconds
        if self._buffer:
            self._parse()

    def _answer(self, status: int, data: bytes, is_last: bool) -> None:
        self._shared.tally.answered(status)
        self.write(data)
        exchange, self._exchange = self._exchange, None
        if self._holds:
            self.release(BODY_IS_HELD | UPSTREAM_IS_FULL)
        if is_last:
            self._end(lingers=True)
        elif exchange is not None and not exchange.is_request_done:
            self._phase = _DISCARD
            self._due_in(self._shared.limits.body_seconds)
        else:
            self._next_request()

    def _end(self, lingers: bool = False) -> None:
        """Close; while the client may still be sending, first let it read what was written (RFC 9112 §9.6)."""
        if self._transport is None:
            return
        if not lingers and self._phase != _BODY:
            self.close()
            return
        self._phase, self._buffer = _LINGER, b""
        self.release(BODY_IS_HELD | UPSTREAM_IS_FULL | PIPELINE_IS_LONG)
        self._due_in(self._shared.limits.linger_seconds)
        self.write_eof()
