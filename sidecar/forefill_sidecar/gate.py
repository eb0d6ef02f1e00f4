"""Where requests wait for tokens: one queue a policy, by urgency, then by arrival, bounded in length and time."""

import asyncio
import heapq
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Literal

from forefill_protocol.messages import Mode, PolicySettings
from forefill_sidecar.bucket import TokenBucket
from forefill_sidecar.histogram import Distribution
from forefill_sidecar.meter import Meter

# Urgencies as RFC 9218 §4.1 numbers them: 0 goes first, 7 last.
URGENCIES = 8
DEFAULT_URGENCY = 3
# Timers of libuv tick in milliseconds and may fire up to one early.
TIMER_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is turned away, and in how many seconds its tokens will be there if nobody else takes them."""

    reason: Literal["queue_full", "waited_too_long", "denied"]
    retry_after_seconds: float


# What the gate decides: the tokens it took (0.0 where the bucket doesn't bind), or a refusal.
Verdict = float | Refusal


class Waiter:
    """A place in the queue. `leave` gives it up: no tokens are taken and `decided` is not called."""

    __slots__ = ("_gate", "arrived_at", "cost", "decided", "expires_at", "urgency")

    def __init__(
        self, gate: "Gate", cost: float, decided: Callable[[Verdict], None], arrived_at: float, urgency: int
    ) -> None:
        self._gate = gate
        self.cost = cost
        self.decided = decided
        self.arrived_at = arrived_at
        self.urgency = urgency
        self.expires_at = inf

    def leave(self) -> None:
        self._gate.forget(self)


class Gate:
    """Admits requests of one policy as its bucket allows. In mode Observe, and when open, everything passes at once."""

    def __init__(
        self,
        bucket: TokenBucket,
        settings: PolicySettings,
        mode: Mode,
        meter: Meter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.bucket = bucket
        self.mode: Mode = mode
        self.meter = meter
        self.waits = Distribution()
        self.unenforced_tokens = 0.0
        self._clock = clock
        self._is_open = False
        self._is_denying = False
        self._passes_all = mode == "Observe"
        self._queues: list[OrderedDict[Waiter, None]] = [OrderedDict() for _ in range(URGENCIES)]
        self._waiting = 0
        self._deadlines: list[tuple[float, int, Waiter]] = []
        self._arrivals = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self.configure(settings)

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return self._waiting

    @property
    def is_enforcing(self) -> bool:
        """Whether a request can be held or refused."""
        return not self._passes_all

    @property
    def is_open(self) -> bool:
        """Whether a fallback lets everything pass."""
        return self._is_open

    @property
    def is_denying(self) -> bool:
        """Whether a fallback turns everything away."""
        return self._is_denying

    def configure(self, settings: PolicySettings) -> None:
        """Take new bounds of the queue; those who wait keep the deadline they came in with."""
        self._max_wait_seconds = settings.queue.max_wait_seconds
        self._max_requests = settings.queue.max_requests
        self._report_interval_seconds = settings.report_interval_seconds

    def set_mode(self, mode: Mode) -> None:
        """Observe lets everyone who waits go on at once."""
        self.mode = mode
        self._switched()

    def open_to_all(self, is_open: bool) -> None:
        """While open, everything passes whatever the bucket holds."""
        self._is_open = is_open
        self._switched()

    def deny_all(self, is_denying: bool) -> None:
        """While denying, everything is refused at once, unless the mode is Observe or the gate is open."""
        self._is_denying = is_denying
        self._switched()

    def retune(self, now: float, fill_rate: float, burst: float) -> None:
        """Change the bucket's rate; whoever the tokens now suffice for goes on at once."""
        self.bucket.retune(now, fill_rate, burst)
        self._turn()

    def add(self, now: float, tokens: float) -> None:
        """Put lump tokens into the bucket; whoever they suffice for goes on at once."""
        self.bucket.add(now, tokens)
        self._turn()

    def ask(
        self,
        cost: float,
        decided: Callable[[Verdict], None],
        max_wait_seconds: float = inf,
        urgency: int = DEFAULT_URGENCY,
        is_marked_retry: bool = False,
    ) -> Verdict | Waiter:
        """Decide at once where that is possible; otherwise answer a Waiter and call `decided` later, exactly once."""
        meter = self.meter
        meter.arrived(cost, is_marked_retry)
        now = self._clock()
        if self._passes_all:
            meter.admitted(cost)
            return self._pass_observed(now, cost)
        if self._is_denying:
            meter.refused(cost)
            return Refusal("denied", self._report_interval_seconds)
        if (not self._waiting or self._outranks_all(urgency)) and self.bucket.try_take(now, cost):
            meter.admitted(cost)
            return cost
        return self._enqueue(now, cost, decided, max_wait_seconds, urgency)

    async def acquire(self, cost: float, max_wait_seconds: float = inf, urgency: int = DEFAULT_URGENCY) -> Verdict:
        """`ask` for coroutines. Cancelled while waiting, it takes nothing; cancelled just after, it gives back."""
        decision: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

        def decided(verdict: Verdict) -> None:
            if not decision.cancelled():
                decision.set_result(verdict)
            elif not isinstance(verdict, Refusal):
                self.give_back(cost, verdict)

        answer = self.ask(cost, decided, max_wait_seconds, urgency)
        if not isinstance(answer, Waiter):
            return answer
        try:
            return await decision
        except asyncio.CancelledError:
            self._abandon(answer, decision)
            raise

    def _abandon(self, waiter: Waiter, decision: "asyncio.Future[Verdict]") -> None:
        if decision.cancelled():
            self.forget(waiter)
        elif not isinstance(verdict := decision.result(), Refusal):
            self.give_back(waiter.cost, verdict)

    def give_back(self, cost: float, taken: float) -> None:
        """Undo an admission that used nothing of the resource: `taken` is the verdict on `cost`."""
        self.meter.returned(cost)
        if taken:
            self.bucket.settle(self._clock(), -taken)
            self._turn()

    def settle(self, reserved: float, actual: float, taken: float, max_debt: float) -> None:
        """Replace what was `reserved` for a request by its `actual` cost."""
        self.meter.settled(actual - reserved)
        if taken:
            self.bucket.settle(self._clock(), actual - reserved, max_debt)
            self._turn()

    def forget(self, waiter: Waiter) -> None:
        """Take a waiter out of the queue; nothing happens if it was decided."""
        queue = self._queues[waiter.urgency]
        if waiter not in queue:
            return
        was_head = waiter is self._head()
        self._remove(waiter)
        if was_head:
            self._turn()

    def _pass_observed(self, now: float, cost: float) -> float:
        if self.bucket.try_take(now, cost):
            return cost
        self.unenforced_tokens += cost
        return 0.0

    def _outranks_all(self, urgency: int) -> bool:
        return not any(self._queues[: urgency + 1])

    def _enqueue(
        self, now: float, cost: float, decided: Callable[[Verdict], None], max_wait_seconds: float, urgency: int
    ) -> Waiter | Refusal:
        wait_seconds = min(max_wait_seconds, self._max_wait_seconds)
        if wait_seconds <= 0.0 or self._waiting >= self._max_requests:
            self.meter.refused(cost)
            return Refusal("queue_full", self._seconds_until_free(now, cost))
        waiter = Waiter(self, cost, decided, now, urgency)
        waiter.expires_at = now + wait_seconds
        self._queues[urgency][waiter] = None
        self._waiting += 1
        self.meter.backlog += cost
        self._arrivals += 1
        heapq.heappush(self._deadlines, (waiter.expires_at, self._arrivals, waiter))
        if waiter.expires_at < self._timer_at or waiter is self._head():
            self._arm(now)
        return waiter

    def _remove(self, waiter: Waiter) -> None:
        del self._queues[waiter.urgency][waiter]
        self._waiting -= 1
        # An empty queue has no backlog, whatever adding and subtracting floats left over.
        self.meter.backlog = self.meter.backlog - waiter.cost if self._waiting else 0.0
        if len(self._deadlines) > 2 * self._waiting + 64:
            self._deadlines = [entry for entry in self._deadlines if self._is_waiting(entry[2])]
            heapq.heapify(self._deadlines)

    def _is_waiting(self, waiter: Waiter) -> bool:
        return waiter in self._queues[waiter.urgency]

    def _head(self) -> Waiter | None:
        for queue in self._queues:
            if queue:
                return next(iter(queue))
        return None

    def _switched(self) -> None:
        self._passes_all = self.mode == "Observe" or self._is_open
        self._turn()

    def _turn(self) -> None:
        """Decide about everyone who can be decided about, then set the timer for the next one."""
        if not self._waiting:
            return
        now = self._clock()
        self._admit(now)
        self._expire(now)
        self._arm(now)

    def _admit(self, now: float) -> None:
        while (head := self._head()) is not None:
            if self._passes_all:
                verdict: Verdict = self._pass_observed(now, head.cost)
            elif self._is_denying:
                verdict = Refusal("denied", self._report_interval_seconds)
            elif self.bucket.try_take(now, head.cost):
                verdict = head.cost
            else:
                return
            self._decide(head, verdict, now)

    def _expire(self, now: float) -> None:
        while self._deadlines and self._deadlines[0][0] <= now:
            waiter = heapq.heappop(self._deadlines)[2]
            if self._is_waiting(waiter):
                self._decide(waiter, None, now)

    def _decide(self, waiter: Waiter, verdict: Verdict | None, now: float) -> None:
        self._remove(waiter)
        if verdict is None:
            verdict = Refusal("waited_too_long", self._seconds_until_free(now, waiter.cost))
        if isinstance(verdict, Refusal):
            self.meter.refused(waiter.cost)
        else:
            self.meter.admitted(waiter.cost)
            self.waits.add(now - waiter.arrived_at)
        waiter.decided(verdict)

    def _seconds_until_free(self, now: float, cost: float) -> float:
        """When everyone who waits has been served and `cost` is there; at rate 0, when the next grant may come."""
        bucket = self.bucket
        missing = self.meter.backlog + min(cost, bucket.burst) - bucket.tokens_at(now)
        if bucket.fill_rate <= 0.0 or bucket.burst <= 0.0:
            return self._report_interval_seconds
        return max(0.0, missing / bucket.fill_rate)

    def _arm(self, now: float) -> None:
        """One timer serves all: the head's tokens or the earliest deadline, whichever comes first."""
        head = self._head()
        while self._deadlines and not self._is_waiting(self._deadlines[0][2]):
            heapq.heappop(self._deadlines)
        at = inf
        if head is not None:
            at = min(now + self.bucket.seconds_until(now, head.cost), self._deadlines[0][0])
        if at == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = at
        if at < inf:
            delay = max(0.0, at - now) + TIMER_SECONDS
            self._timer = asyncio.get_running_loop().call_later(delay, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer, self._timer_at = None, inf
        self._turn()
