"""One request and its response: through the gate, to the upstream, and back."""

import time
from typing import TYPE_CHECKING, Final

from forefill_sidecar.line import Refusal, Verdict, Waiter
from forefill_sidecar.proxy import rewrite
from forefill_sidecar.proxy.charge import Charge
from forefill_sidecar.proxy.framing import ChunkedFraming, CloseFraming, Framing, LengthFraming
from forefill_sidecar.proxy.head import RequestHead, ResponseHead

if TYPE_CHECKING:
    from forefill_sidecar.proxy.client_side import ClientConnection
    from forefill_sidecar.proxy.listener import Listener
    from forefill_sidecar.proxy.upstream_side import UpstreamConnection

# RFC 9110 §9.2.2. Only these may be sent a second time when a kept connection turns out to be closed.
IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE"))


class Exchange:
    """Lives from a request's head to the end of its response. Body pieces come in already framed."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_charge",
        "_client",
        "_ended_sides",
        "_is_over",
        "_listener",
        "_replay",
        "_sent_at",
        "_upstream",
        "_waiter",
        "head",
        "is_dechunked",
        "is_last",
        "is_request_done",
        "is_response_begun",
        "is_tunnel",
        "is_watched",
    )

    def __init__(self, client: "ClientConnection", listener: "Listener", head: RequestHead) -> None:
        self.head = head
        self.is_request_done = False
        self.is_response_begun = False
        self.is_last = not head.keeps_alive
        self.is_tunnel = False
        self.is_dechunked = False
        self.is_watched = False
        self._client = client
        self._listener = listener
        self._charge = Charge(listener, head)
        self._waiter: Waiter | None = None
        self._upstream: UpstreamConnection | None = None
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._replay: bytes | None = None
        self._sent_at = 0.0
        self._is_over = False
        self._ended_sides = 0

    def start(self) -> None:
        """Ask the gate; what there is of the body was handed to `send_body` before."""
        answer = self._charge.ask(self._decided)
        if isinstance(answer, Waiter):
            self._waiter = answer
        else:
            self._decided(answer)

    def send_body(self, data: bytes) -> None:
        """Pass on a piece of the request's body, or hold it until there is an upstream connection."""
        if self._upstream is not None:
            self._upstream.write(data)
            self._replay = None
            return
        self._body.append(data)
        self._body_bytes += len(data)
        if self._body_bytes > self._listener.limits.held_bytes:
            self._client.hold_body()

    def end_request(self, payload_bytes: int) -> None:
        """The request's body is complete."""
        self.is_request_done = True
        self._listener.meter.sized(payload_bytes)
        if self.head.is_chunked:
            self._charge.add_body(payload_bytes)

    def client_gone(self) -> None:
        """The client closed. What was not sent yet costs nothing; what was is broken off."""
        if self._is_over:
            return
        self._is_over = True
        if self._waiter is not None:
            self._listener.gate.leave(self._waiter)
        elif self._upstream is not None:
            if self.is_tunnel:
                self._upstream.close()
            else:
                self._upstream.abort()
        else:
            self._charge.give_back()

    def _decided(self, verdict: Verdict) -> None:
        self._waiter = None
        if isinstance(verdict, Refusal):
            self._is_over = True
            self._client.refuse(verdict)
            return
        self._charge.admit(verdict)
        upstream = self._listener.pool.take(self.head.method in IDEMPOTENT)
        if upstream is None:
            self._listener.pool.open(self)
        else:
            self.upstream_ready(upstream)

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for the response any more."""
        return self._is_over

    def upstream_ready(self, upstream: "UpstreamConnection") -> None:
        """Send what there is of the request."""
        if self._replay is None:
            head = rewrite.request(self.head, self._listener.address, self._client.peer)
            data = b"".join((head, *self._body)) if self._body else head
            self._body.clear()
        else:
            data = self._replay
        may_repeat = upstream.is_reused and self.is_request_done and self.head.method in IDEMPOTENT
        self._replay = data if may_repeat else None
        self._upstream = upstream
        self._sent_at = time.monotonic()
        upstream.begin(self, data)
        if self._body_bytes:
            self._body_bytes = 0
            self._client.release_body()

    def upstream_unreachable(self, status: int, sentence: str) -> None:
        """No connection could be made: nothing was used, so the tokens go back."""
        if self._is_over:
            return
        self._is_over = True
        self._charge.give_back()
        self._fail(status, sentence)

    def upstream_lost(self, sentence: str) -> None:
        """The upstream closed, or spoke no HTTP, before its response was complete."""
        self._upstream = None
        if self._is_over:
            return
        if self._replay is not None and not self.is_response_begun:
            self._listener.tally.upstream_retries += 1
            self._listener.pool.open(self)
            return
        self._is_over = True
        if self.is_tunnel:
            self._client.close()
        elif self.is_response_begun:
            self._listener.meter.failed()
            self._listener.tally.upstream_failures += 1
            self._client.abort()
        else:
            self._fail(502, sentence)

    def _fail(self, status: int, sentence: str) -> None:
        self._listener.meter.failed()
        self._listener.tally.upstream_failures += 1
        self._client.answer_problem(status, sentence)

    def interim(self, head: ResponseHead) -> None:
        """Pass on a 1xx response; HTTP/1.0 has none."""
        if self.head.minor == 1 and not self._is_over:
            self._client.write(rewrite.response(head, 1, is_last=False, is_dechunked=False))

    def framing_of(self, head: ResponseHead) -> Framing:
        """How the response's body ends (RFC 9112 §6.3)."""
        if self.head.method == b"HEAD" or head.status in (204, 304):
            return LengthFraming(0)
        self.is_watched = self._charge.watches(head)
        if head.is_chunked:
            self.is_dechunked = self.head.minor == 0
            return ChunkedFraming(keeps_payload=self.is_dechunked or self.is_watched)
        if head.content_length is not None:
            return LengthFraming(head.content_length)
        return CloseFraming()

    def respond(self, head: ResponseHead, framing: Framing, data: bytes) -> None:
        """The response begins: `data` is what there is of its body."""
        self._replay = None
        self.is_response_begun = True
        listener = self._listener
        seconds = time.monotonic() - self._sent_at
        listener.meter.answered(seconds)
        listener.tally.upstream_seconds.add(seconds)
        listener.tally.responded(head.status)
        if head.status >= 500:
            listener.meter.failed()
        self.is_last = (
            self.is_last
            or self.is_dechunked
            or not self.is_request_done
            or listener.is_draining
            or isinstance(framing, CloseFraming)
        )
        out = rewrite.response(head, self.head.minor, self.is_last, self.is_dechunked)
        self._client.write(out + data if data else out)

    def response_body(self, data: bytes) -> None:
        """Pass on a piece of the response's body."""
        if data and not self._is_over:
            self._client.write(data)

    def read_content(self, content: bytes) -> None:
        """Content of a response that is watched, without the chunks' lines."""
        self._charge.read(content)

    def response_done(self) -> None:
        """The response is complete; its connection has been taken care of."""
        self._upstream = None
        self._charge.settle()
        if not self._is_over:
            self._is_over = True
            self._client.finished()

    def wants_upgrade(self) -> bool:
        """Whether a 101 answers what the client asked for."""
        return rewrite.passes_upgrade(self.head)

    def open_tunnel(self, head: ResponseHead, data: bytes) -> None:
        """The upstream switched protocols: from here on bytes pass both ways unread."""
        self._replay = None
        self.is_tunnel = self.is_response_begun = True
        self._listener.tally.responded(head.status)
        self._client.write(rewrite.response(head, 1, is_last=False, is_dechunked=False) + data)
        self._client.tunnel_opened()

    def end_of_input(self) -> None:
        """The client's side of a tunnel has nothing more to say; the other hears of it."""
        if self._upstream is not None:
            self._upstream.write_eof()
        self._side_ended()

    def upstream_end_of_input(self) -> None:
        """Likewise the upstream's side."""
        self._client.write_eof()
        self._side_ended()

    def _side_ended(self) -> None:
        self._ended_sides += 1
        if self._ended_sides == 2:
            self._client.close()

    def pause_upstream(self) -> None:
        """The client takes no more for now."""
        if self._upstream is not None:
            self._upstream.pause()

    def resume_upstream(self) -> None:
        if self._upstream is not None:
            self._upstream.resume()

    def pause_client(self) -> None:
        """The upstream takes no more for now."""
        self._client.hold_upstream()

    def resume_client(self) -> None:
        self._client.release_upstream()
