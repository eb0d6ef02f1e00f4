"""One request and its response: through the gate, to the upstream, and back."""

import time

from forefill_sidecar.line import Refusal, Verdict, Waiter
from forefill_sidecar.proxy import rewrite
from forefill_sidecar.proxy.asking_side import Client
from forefill_sidecar.proxy.charge import Charge
from forefill_sidecar.proxy.framing import ChunkedFraming, CloseFraming, Framing, LengthFraming
from forefill_sidecar.proxy.head import ResponseHead
from forefill_sidecar.proxy.known import Request, Response
from forefill_sidecar.proxy.shared import Shared
from forefill_sidecar.proxy.tunnel import Tunnel
from forefill_sidecar.proxy.upstream_side import UpstreamConnection


class Exchange:
    """Lives from a request's head to the end of its response. Body pieces come in already framed."""

    # Most exchanges end with these as they are, so that making one sets but a few of them.
    is_over = False
    is_request_done = False
    is_response_begun = False
    tunnel: Tunnel | None = None
    is_dechunked = False
    is_watched = False
    _waiter: Waiter | None = None
    _upstream: UpstreamConnection | None = None
    _body: list[bytes] | None = None
    _body_bytes = 0
    _replay: bytes | None = None
    _sent_at = 0.0

    def __init__(self, client: Client, shared: Shared, request: Request) -> None:
        self.request = request
        self.is_last = not request.head.keeps_alive
        self.is_plain = request.is_plain
        self._client = client
        self._shared = shared
        self._charge = Charge(shared, request)

    def start(self, now: float) -> None:
        """Ask the gate; what there is of the body was handed to `send_body` before."""
        answer = self._charge.ask(now, self._decided)
        if isinstance(answer, Waiter):
            self._waiter = answer
        else:
            self._go_on(now, answer)

    def send_body(self, data: bytes) -> None:
        """Pass on a piece of the request's body, or hold it until there is an upstream connection."""
        if self._upstream is not None:
            self._upstream.write(data)
            self._replay = None
            return
        if self._body is None:
            self._body = []
        self._body.append(data)
        self._body_bytes += len(data)
        if self._body_bytes > self._shared.limits.held_bytes:
            self._client.hold_body()

    def end_request(self, payload_bytes: int) -> None:
        """The request's body is complete."""
        self.is_request_done = True
        self._shared.meter.sized(payload_bytes)
        if self.request.head.is_chunked:
            self._charge.add_body(payload_bytes)

    def client_gone(self) -> None:
        """The client closed. What was not sent yet costs nothing; what was is broken off."""
        if self.is_over:
            return
        self.is_over = True
        if self._waiter is not None:
            self._shared.gate.leave(self._waiter)
        elif self._upstream is not None:
            if self.tunnel:
                self._upstream.leave()
            else:
                self._upstream.break_off()
        else:
            self._charge.give_back()

    def _decided(self, verdict: Verdict) -> None:
        self._waiter = None
        self._go_on(time.monotonic(), verdict)

    def _go_on(self, now: float, verdict: Verdict) -> None:
        if isinstance(verdict, Refusal):
            self.is_over = True
            self._client.refuse(verdict)
            return
        self._charge.taken = verdict
        if not self.is_plain:
            self._charge.add_extra()
        upstream = self._shared.pool.take(now, self.request.may_repeat)
        if upstream is None:
            self._shared.pool.open(self)
        else:
            self._send(now, upstream)

    def upstream_ready(self, upstream: UpstreamConnection) -> None:
        """A connection was made for this exchange."""
        self._send(time.monotonic(), upstream)

    def _send(self, now: float, upstream: UpstreamConnection) -> None:
        """Send what there is of the request."""
        request, data = self.request, self._replay
        if data is None:
            data = request.wire
            if self._client.peer is not None:
                data = rewrite.request(request.head, self._shared.address, self._client.peer)
            if self._body:
                data = b"".join((data, *self._body))
                self._body = None
        if upstream.is_reused and request.may_repeat and self.is_request_done:
            self._replay = data
        else:
            self._replay = None
        self._upstream = upstream
        self._sent_at = now
        upstream.asker = self
        upstream.write(data)
        if self._body_bytes:
            self._body_bytes = 0
            self._client.release_body()

    def upstream_unreachable(self, status: int, sentence: str) -> None:
        """No connection could be made: nothing was used, so the tokens go back."""
        if self.is_over:
            return
        self.is_over = True
        self._charge.give_back()
        self._fail(status, sentence)

    def upstream_lost(self, sentence: str) -> None:
        """The upstream closed, or spoke no HTTP, before its response was complete."""
        self._upstream = None
        if self.is_over:
            return
        if self._replay is not None and not self.is_response_begun:
            self._shared.tally.upstream_retries += 1
            self._shared.pool.open(self)
            return
        self.is_over = True
        if self.tunnel:
            self._client.close()
        elif self.is_response_begun:
            self._shared.meter.failed()
            self._shared.tally.upstream_failures += 1
            self._client.abort()
        else:
            self._fail(502, sentence)

    def _fail(self, status: int, sentence: str) -> None:
        self._shared.meter.failed()
        self._shared.tally.upstream_failures += 1
        self._client.answer_problem(status, sentence)

    def interim(self, response: Response) -> None:
        """Pass on a 1xx response; HTTP/1.0 has none."""
        if self.request.head.minor == 1 and not self.is_over:
            self._client.write(response.wire)

    def framing_of(self, head: ResponseHead) -> Framing:
        """How the response's body ends (RFC 9112 §6.3)."""
        if self.request.head.method == b"HEAD" or head.status in (204, 304):
            return LengthFraming(0)
        self.is_watched = self._charge.watches(head)
        if head.is_chunked:
            self.is_dechunked = self.request.head.minor == 0
            return ChunkedFraming(keeps_payload=self.is_dechunked or self.is_watched)
        if head.content_length is not None:
            return LengthFraming(head.content_length)
        self.is_last = True
        return CloseFraming()

    def respond(self, now: float, response: Response, data: bytes, end: int) -> None:
        """The response begins: what there is of its body follows the head, which takes `end` bytes of `data`."""
        self._replay = None
        self.is_response_begun = True
        shared, head = self._shared, response.head
        seconds = now - self._sent_at
        shared.meter.answered(seconds)
        shared.tally.responded(head.status, seconds)
        if head.status >= 500:
            shared.meter.failed()
        if self.is_dechunked or not self.is_request_done or shared.is_draining:
            self.is_last = True
        minor = self.request.head.minor
        if self.is_last or minor == 0:
            data = rewrite.response(head, minor, self.is_last, self.is_dechunked) + data[end:]
        elif not response.is_same:
            data = response.wire + data[end:]
        self._client.write(data)

    def response_body(self, data: bytes) -> None:
        """Pass on a piece of the response's body."""
        if data and not self.is_over:
            self._client.write(data)

    def read_content(self, content: bytes) -> None:
        """Content of a response that is watched, without the chunks' lines."""
        self._charge.read(content)

    def response_done(self) -> None:
        """The response is complete; its connection has been taken care of."""
        self._upstream = None
        if not self.is_plain:
            self._charge.settle()
        if not self.is_over:
            self.is_over = True
            self._client.finished()

    def wants_upgrade(self) -> bool:
        """Whether a 101 answers what the client asked for."""
        return rewrite.passes_upgrade(self.request.head)

    def open_tunnel(self, response: Response, data: bytes) -> None:
        """The upstream switched protocols: from here on bytes pass both ways unread."""
        self._replay = None
        self.is_response_begun = True
        if self._upstream is not None:
            self.tunnel = Tunnel(self._client, self._upstream)
        self._shared.tally.switched()
        self._client.write(response.wire + data)
        self._client.tunnel_opened()

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
