"""What one request costs its policy: reserved before it is sent, settled when its response says more."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from forefill_sidecar import usage
from forefill_sidecar.line import Verdict, Waiter
from forefill_sidecar.proxy import known
from forefill_sidecar.proxy.head import ResponseHead
from forefill_sidecar.proxy.known import Request
from forefill_sidecar.proxy.shared import Shared

if TYPE_CHECKING:
    from forefill_sidecar.arrivals import Arrivals


class Charge:
    """Belongs to one exchange. `tokens` is what is reserved."""

    _reader: usage.UsageReader | None = None
    _status = 0
    _extra = 0.0
    # What the gate took; None before it did.
    taken: float | None = None

    def __init__(self, shared: Shared, request: Request) -> None:
        rule = shared.cost
        # What responses taught since the head was first read changes its price.
        price = known.price(rule, request.head) if rule.pointer else request.price
        self.tokens = price.tokens
        self._gate = shared.gate
        self._arrivals = shared.arrivals
        self._rule = rule
        self._request = request
        self._route, self._said = price.route, price.said

    def ask(self, now: float, decided: Callable[[Verdict], None]) -> Verdict | Waiter:
        """Ask the gate for the tokens."""
        if self._extra:
            self.tokens += self._extra
            self._extra = 0.0
        wishes = self._request.wishes
        if self._arrivals is not None and (wishes is None or not wishes.is_marked_retry):
            self._note_arrival(now, self._arrivals)
        if wishes is None:
            return self._gate.ask(now, self.tokens, decided)
        return self._gate.ask(now, self.tokens, decided, *wishes)

    def _note_arrival(self, now: float, arrivals: "Arrivals") -> None:
        head = self._request.head
        arrivals.add(now, self._route, head.content_length or 0, self.tokens)
        if arrivals.user_header and (user := head.field(arrivals.user_header)):
            arrivals.add_user(user, self.tokens)

    def add_body(self, count: int) -> None:
        """A body whose size nobody announced turned out to have so many bytes."""
        self._extra = self._rule.of_bytes(count)
        self.add_extra()

    def add_extra(self) -> None:
        """Take for such a body, as soon as the request is admitted."""
        if self.taken is not None and self._extra:
            self._replace(self.tokens + self._extra)
            self._extra = 0.0

    def give_back(self) -> None:
        """The request never reached the upstream."""
        self._gate.give_back(self.tokens, self.taken or 0.0)

    def watches(self, head: ResponseHead) -> bool:
        """Whether the content of this response has to be handed to `read`."""
        if not self._rule.pointer:
            return False
        self._status = head.status
        content_type, coding = head.field(b"content-type") or b"", head.field(b"content-encoding") or b""
        self._reader = usage.reader_for(self._rule.pointer, content_type, coding)
        return self._reader is not None

    def read(self, content: bytes) -> None:
        if self._reader is not None:
            self._reader.feed(content)

    def settle(self) -> None:
        """The response is complete. One that failed and names no cost is free where responses name costs."""
        if not self._rule.pointer:
            return
        actual = self._reader.total() if self._reader is not None else None
        if actual is not None:
            self._rule.learn(self._route, actual, self._said)
            self._replace(actual)
        elif self._status >= 400:
            self._replace(0.0)

    def _replace(self, actual: float) -> None:
        self._gate.settle(self.tokens, actual, self.taken or 0.0, self._rule.debt_allowed(self._gate.bucket.burst))
        self.tokens = actual
