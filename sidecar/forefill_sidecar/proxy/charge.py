"""What one request costs its policy: reserved before it is sent, settled when its response says more."""

from typing import TYPE_CHECKING, Final

from forefill_sidecar import usage
from forefill_sidecar.proxy import wishes
from forefill_sidecar.proxy.head import RequestHead, ResponseHead

if TYPE_CHECKING:
    from collections.abc import Callable

    from forefill_sidecar.line import Verdict, Waiter
    from forefill_sidecar.proxy.listener import Listener

_NO_FIELDS: Final[dict[bytes, bytes]] = {}


class Charge:
    """Belongs to one exchange. `tokens` is what is reserved."""

    __slots__ = (
        "_extra",
        "_gate",
        "_is_admitted",
        "_reader",
        "_route",
        "_rule",
        "_status",
        "_taken",
        "_wished",
        "tokens",
    )

    def __init__(self, listener: "Listener", head: RequestHead) -> None:
        self._gate = listener.gate
        self._rule = rule = listener.cost
        self._reader: usage.UsageReader | None = None
        self._status = 0
        fields = dict(head.fields) if head.asks or rule.header else _NO_FIELDS
        self._wished = wishes.read(fields) if head.asks else wishes.NONE
        price = rule.price(head.method, head.target, fields, head.content_length or 0)
        self.tokens = price.tokens
        self._route = price.route
        self._taken = 0.0
        self._extra = 0.0
        self._is_admitted = False

    def ask(self, decided: "Callable[[Verdict], None]") -> "Verdict | Waiter":
        """Ask the gate for the tokens."""
        self.tokens += self._extra
        self._extra = 0.0
        return self._gate.ask(self.tokens, decided, *self._wished)

    def admit(self, taken: float) -> None:
        """The gate took that much."""
        self._is_admitted, self._taken = True, taken
        if self._extra:
            self._replace(self.tokens + self._extra)

    def add_body(self, count: int) -> None:
        """A body whose size nobody announced turned out to have so many bytes."""
        self._extra = self._rule.of_bytes(count)
        if self._is_admitted and self._extra:
            self._replace(self.tokens + self._extra)

    def give_back(self) -> None:
        """The request never reached the upstream."""
        self._gate.give_back(self.tokens, self._taken)

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
            self._rule.learn(self._route, actual)
            self._replace(actual)
        elif self._status >= 400:
            self._replace(0.0)

    def _replace(self, actual: float) -> None:
        self._gate.settle(self.tokens, actual, self._taken, self._rule.debt_allowed(self._gate.bucket.burst))
        self.tokens = actual
