"""What one policy's clients in this pod ask for, window by window. Pure: `now` is monotonic seconds."""

from dataclasses import dataclass, field

from msgspec import Struct

from forefill_protocol.messages import Spread
from forefill_sidecar.histogram import Histogram


class Window(Struct, frozen=True, gc=False):
    """One closed window, as a PolicyReport carries it. Amounts are tokens; `backlog` is what waits at its end."""

    window_seconds: float
    offered: float
    admitted: float
    refused: float
    backlog: float
    requests: int
    errors: int
    request_bytes: Spread | None
    cost: Spread | None
    upstream_seconds: Spread | None


@dataclass(slots=True)
class Totals:
    """Counters since the start; they only rise. Tokens, and requests where the name says so."""

    offered: float = 0.0
    admitted: float = 0.0
    refused: float = 0.0
    requests: int = 0
    admitted_requests: int = 0
    refused_requests: int = 0
    retried_requests: int = 0
    settled_up: float = 0.0
    settled_down: float = 0.0
    returned: float = 0.0
    errors: int = 0


@dataclass(slots=True)
class Meter:
    """Counts arrivals and what became of them. `backlog` is kept by the gate whose queue it measures."""

    started_at: float
    backlog: float = 0.0
    totals: Totals = field(default_factory=Totals)
    _before: tuple[float, float, float, int, int] = (0.0, 0.0, 0.0, 0, 0)
    _offered_correction: float = 0.0
    _admitted_correction: float = 0.0
    _request_bytes: Histogram = field(default_factory=Histogram)
    _cost: Histogram = field(default_factory=Histogram)
    _upstream_seconds: Histogram = field(default_factory=Histogram)

    def arrived(self, cost: float, is_marked_retry: bool = False) -> None:
        """Count offered demand. Another try of a request that already arrived is work, but no new demand."""
        totals = self.totals
        totals.requests += 1
        self._cost.add(cost)
        if is_marked_retry:
            totals.retried_requests += 1
        else:
            totals.offered += cost

    def admitted(self, cost: float) -> None:
        """The tokens of an arrival were taken."""
        self.totals.admitted += cost
        self.totals.admitted_requests += 1

    def passed(self, cost: float, is_marked_retry: bool = False) -> None:
        """Arrived and admitted at once, which most requests are."""
        totals = self.totals
        totals.requests += 1
        totals.admitted_requests += 1
        totals.admitted += cost
        self._cost.add(cost)
        if is_marked_retry:
            totals.retried_requests += 1
        else:
            totals.offered += cost

    def refused(self, cost: float) -> None:
        """An arrival was turned away: too long a queue, or too long a wait."""
        self.totals.refused += cost
        self.totals.refused_requests += 1

    def sized(self, request_bytes: int) -> None:
        """The body of a request was read to its end."""
        self._request_bytes.add(request_bytes)

    def answered(self, upstream_seconds: float) -> None:
        """The upstream began its answer that long after the request's head went out."""
        self._upstream_seconds.add(upstream_seconds)

    def failed(self) -> None:
        """The upstream gave no answer, or one of 500 and above."""
        self.totals.errors += 1

    def settled(self, difference: float) -> None:
        """An admitted request turned out dearer than reserved by `difference` tokens (cheaper: negative)."""
        self._offered_correction += difference
        self._admitted_correction += difference
        if difference < 0.0:
            self.totals.settled_down -= difference
        else:
            self.totals.settled_up += difference

    def returned(self, cost: float) -> None:
        """An admitted request never reached the upstream; its tokens went back into the bucket."""
        self._admitted_correction -= cost
        self.totals.returned += cost

    def offered_since(self) -> float:
        """Tokens that first arrived since the last window was closed."""
        return max(0.0, self.totals.offered - self._before[0] + self._offered_correction)

    def close(self, now: float) -> Window:
        """End the window at `now` and begin the next one."""
        totals = self.totals
        offered, admitted, refused, requests, errors = self._before
        window = Window(
            window_seconds=max(0.0, now - self.started_at),
            offered=max(0.0, totals.offered - offered + self._offered_correction),
            admitted=max(0.0, totals.admitted - admitted + self._admitted_correction),
            refused=totals.refused - refused,
            backlog=self.backlog,
            requests=totals.requests - requests,
            errors=totals.errors - errors,
            request_bytes=self._request_bytes.close(),
            cost=self._cost.close(),
            upstream_seconds=self._upstream_seconds.close(),
        )
        self.started_at = max(now, self.started_at)
        self._before = (totals.offered, totals.admitted, totals.refused, totals.requests, totals.errors)
        self._offered_correction = self._admitted_correction = 0.0
        return window
