"""Exchanges that are written down when they end; only listeners with a journal make them."""

import time

from forefill_sidecar.cost import NO_ROUTE
from forefill_sidecar.entry import Entry, Outcome, trace_parent
from forefill_sidecar.line import Refusal, Verdict
from forefill_sidecar.proxy.asking_side import Client
from forefill_sidecar.proxy.exchange import Exchange
from forefill_sidecar.proxy.known import Request, Response
from forefill_sidecar.proxy.shared import Shared


class NotedExchange(Exchange):
    """Notes what the plain one only does."""

    def __init__(self, client: Client, shared: Shared, request: Request) -> None:
        super().__init__(client, shared, request)
        head = request.head
        self._began = time.monotonic()
        self._is_noted = False
        self._entry = entry = Entry(
            time=time.time(),
            policy=shared.policy,
            method=head.method.decode(),
            path=head.target.partition(b"?")[0].decode(),
            trace=trace_parent(head.field(b"traceparent")),
        )
        entry.trace_id = entry.trace.trace_id if entry.trace else None
        if request.price.route != NO_ROUTE:
            entry.route = shared.cost.templates[request.price.route]

    def send_body(self, data: bytes) -> None:
        self._entry.request_bytes += len(data)
        super().send_body(data)

    def _decided(self, verdict: Verdict) -> None:
        self._entry.wait_seconds = time.monotonic() - self._began
        super()._decided(verdict)

    def _go_on(self, now: float, verdict: Verdict) -> None:
        if isinstance(verdict, Refusal):
            self._end("refused", 429)
        super()._go_on(now, verdict)

    def respond(self, now: float, response: Response, data: bytes, end: int) -> None:
        self._entry.status = response.head.status
        self._entry.upstream_seconds = now - self._sent_at
        self._entry.response_bytes += len(data) - end
        super().respond(now, response, data, end)

    def response_body(self, data: bytes) -> None:
        self._entry.response_bytes += len(data)
        super().response_body(data)

    def response_done(self) -> None:
        super().response_done()
        self._end("passed", None)

    def open_tunnel(self, response: Response, data: bytes) -> None:
        self._entry.status = response.head.status
        super().open_tunnel(response, data)

    def client_gone(self) -> None:
        self._end("passed" if self.tunnel else "aborted", None)
        super().client_gone()

    def upstream_lost(self, sentence: str) -> None:
        super().upstream_lost(sentence)
        if self.is_over:
            self._end("passed" if self.tunnel else "failed", None)

    def _fail(self, status: int, sentence: str) -> None:
        self._end("failed", status)
        super()._fail(status, sentence)

    def _end(self, outcome: Outcome, status: int | None) -> None:
        if self._is_noted:
            return
        self._is_noted = True
        entry = self._entry
        entry.outcome = outcome
        entry.status = entry.status if status is None else status
        entry.seconds = time.monotonic() - self._began
        entry.tokens = 0.0 if outcome == "refused" else self._charge.tokens
        if self._shared.note is not None:
            self._shared.note(entry)
