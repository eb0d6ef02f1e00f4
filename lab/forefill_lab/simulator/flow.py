"""What one client asks for and gets: a line of tokens in front of its bucket.

Tokens of a tick arrive together at its beginning as requests of one size, and are served first come, first served as
the sidecar's gate does: a request passes when the bucket holds the smaller of its cost and the burst.
"""

from collections import deque
from math import inf

from forefill_lab.simulator.timeline import Timeline
from forefill_sidecar.bucket import SLACK, TokenBucket
from forefill_sidecar.meter import Meter

# Waits are counted by whole ticks up to this many; longer ones count as this long.
LONGEST_WAIT_TICKS = 600
# Less than this is rounding, not a token.
CRUMB = 1e-9


class Batch:
    """Tokens of one tick that still wait. `arrived_at` is the client's clock."""

    __slots__ = ("arrived_at", "tick", "tokens")

    def __init__(self, tick: int, arrived_at: float, tokens: float) -> None:
        self.tick = tick
        self.arrived_at = arrived_at
        self.tokens = tokens


class Flow:
    """Times are seconds of the client's clock. `unit` is the cost of one request, tokens.

    `offered`, `on_time`, `late` and `dropped` count the tokens of the present tick until `begin_tick`; `waited` is the
    integral of what waits over time, token seconds; `waits` counts served tokens by the ticks they waited.
    """

    __slots__ = (
        "bucket", "denies_all", "drift", "dropped", "has_passed_all", "late", "looked_at", "max_wait_seconds",
        "max_waiting", "meter", "offered", "offset", "on_time", "passes_all", "queue", "timeline", "unit", "waited",
        "waiting", "waits",
    )  # fmt: skip

    def __init__(self, timeline: Timeline, unit: float, offset: float = 0.0, drift: float = 1.0) -> None:
        self.timeline = timeline
        self.offset, self.drift = offset, drift
        now = self.clock()
        self.bucket = TokenBucket(0.0, 0.0, 0.0, now)
        self.unit = unit
        self.meter = Meter(started_at=now)
        self.max_wait_seconds = inf
        self.max_waiting = inf
        self.passes_all = self.denies_all = self.has_passed_all = False
        self.queue: deque[Batch] = deque()
        self.waiting = self.waited = 0.0
        self.looked_at = now
        self.waits: list[float] = []
        self.begin_tick()

    def clock(self) -> float:
        """The client's clock, `drift` times as fast as the run's."""
        return self.offset + self.drift * self.timeline.now

    def begin_tick(self) -> None:
        self.offered = self.on_time = self.late = self.dropped = 0.0

    def arrive(self, now: float, tokens: float) -> None:
        """Take what can be taken at once, let wait what finds a place in line, refuse the rest."""
        if not self.queue and not self.denies_all and self.bucket.tokens_at(now) >= tokens:
            # What follows comes to the same; this is what happens most of the time.
            self.bucket.try_take(now, tokens)
            self.meter.passed(tokens)
            self.offered += tokens
            self.on_time += tokens
            self.looked_at = now
            return
        self.stand_in_line(now, tokens)
        self._admit(now)
        self.turn_away()

    def stand_in_line(self, now: float, tokens: float) -> None:
        """Arrive without asking the bucket."""
        self.serve(now)
        self.offered += tokens
        self.meter.arrived(tokens)
        self.queue.append(Batch(self.timeline.tick, now, tokens))
        self.waiting += tokens

    def turn_away(self) -> None:
        """Refuse the last of those for whom there is no place."""
        excess = self.waiting - self.max_waiting
        if excess > CRUMB:
            self._refuse_last(excess)
        self.meter.backlog = self.waiting

    def be_served(self, now: float, tokens: float, fill_rate: float) -> None:
        """Tokens from elsewhere than the own bucket, where they are earned at `fill_rate`."""
        before = self.waiting
        self._take(tokens)
        self._pass_time(now, before, fill_rate)

    def _pass_time(self, now: float, waiting_before: float, fill_rate: float) -> None:
        """Count what waited since the last look; a line that is empty now may have been so for long."""
        seconds = now - self.looked_at
        if not self.queue and waiting_before < fill_rate * seconds:
            seconds = waiting_before / fill_rate
        self.waited += seconds * (waiting_before + self.waiting) / 2
        self.meter.backlog = self.waiting
        self.looked_at = now

    def serve(self, now: float) -> None:
        """Bring the line up to `now`."""
        if self.queue:
            before = self.waiting
            self._admit(now)
            if self.queue and self.queue[0].arrived_at + self.max_wait_seconds <= now + CRUMB:
                self._expire(now)
            self._pass_time(now, before, self.bucket.fill_rate)
        else:
            self.looked_at = now

    def retune(self, now: float, fill_rate: float, burst: float) -> None:
        """Go on at another rate; what was earned until now is earned at the old one."""
        if fill_rate == self.bucket.fill_rate and burst == self.bucket.burst:
            return
        self.serve(now)
        self.bucket.retune(now, fill_rate, burst)
        if self.queue:
            self.serve(now)

    def _admit(self, now: float) -> None:
        bucket = self.bucket
        while self.queue:
            if self.passes_all:
                self._take(self.waiting)
                return
            if self.denies_all:
                self._refuse_last(self.waiting)
                return
            at = self._next_look(now)
            amount = self._admissible(bucket.tokens_at(at), bucket.burst)
            if amount <= 0.0:
                return
            bucket.try_take(at, amount)
            self._take(amount)

    def _next_look(self, now: float) -> float:
        """`now`, or the moment before at which the bucket became full: while somebody waits nothing runs over."""
        bucket = self.bucket
        missing = bucket.burst - bucket.tokens
        if missing <= 0.0 or bucket.fill_rate <= 0.0:
            return now
        return min(now, bucket.updated_at + missing / bucket.fill_rate)

    def _admissible(self, tokens: float, burst: float) -> float:
        """How many of the waiting tokens pass with so many in the bucket, in whole requests."""
        if tokens + SLACK >= self.waiting:
            return self.waiting
        need = min(self.unit, burst) if burst > 0.0 else self.unit
        if tokens + SLACK < need:
            return 0.0
        requests = int((tokens + SLACK - need) / self.unit) + 1
        return min(requests * self.unit, self.waiting)

    def _take(self, amount: float) -> None:
        self.meter.admitted(amount)
        self.waiting -= amount
        queue = self.queue
        while amount > CRUMB and queue:
            head = queue[0]
            part = head.tokens if head.tokens <= amount + CRUMB else amount
            amount -= part
            head.tokens -= part
            self._passed(head, part)
            if head.tokens <= CRUMB:
                queue.popleft()
        if not queue:
            self.waiting = 0.0

    def _passed(self, head: Batch, tokens: float) -> None:
        age = self.timeline.tick - head.tick
        if age == 0:
            self.on_time += tokens
        else:
            self.late += tokens
            self._count_wait(age, tokens)

    def _count_wait(self, ticks: int, tokens: float) -> None:
        waits, ticks = self.waits, min(ticks, LONGEST_WAIT_TICKS)
        while len(waits) < ticks:
            waits.append(0.0)
        waits[ticks - 1] += tokens

    def _expire(self, now: float) -> None:
        queue = self.queue
        while queue and queue[0].arrived_at + self.max_wait_seconds <= now + CRUMB:
            self._drop(queue.popleft().tokens)

    def _refuse_last(self, amount: float) -> None:
        queue = self.queue
        while amount > CRUMB and queue:
            last = queue[-1]
            part = min(last.tokens, amount)
            amount -= part
            last.tokens -= part
            if last.tokens <= CRUMB:
                queue.pop()
            self._drop(part)

    def _drop(self, tokens: float) -> None:
        self.dropped += tokens
        self.meter.refused(tokens)
        self.waiting = self.waiting - tokens if self.queue else 0.0
