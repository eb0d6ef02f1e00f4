"""Where requests get their tokens: at once, after waiting in line, or not at all."""

import asyncio
import time
from collections.abc import Callable
from math import inf

from forefill_protocol.fields import Mode
from forefill_protocol.policysettings import PolicySettings
from forefill_sidecar.alarm import Alarm, CallLater
from forefill_sidecar.bucket import TokenBucket
from forefill_sidecar.histogram import Distribution
from forefill_sidecar.line import DEFAULT_URGENCY, Line, Refusal, Verdict, Waiter
from forefill_sidecar.meter import Meter
from forefill_sidecar.shadow import Shadow


class Gate:
    """Admits requests of one policy as its bucket allows. In mode Observe, and when open, everything passes at once.

    `clock` is monotonic seconds; `call_later` sets a timer, by default on the running event loop.
    """

    def __init__(
        self,
        bucket: TokenBucket,
        settings: PolicySettings,
        mode: Mode,
        meter: Meter,
        clock: Callable[[], float] = time.monotonic,
        call_later: CallLater | None = None,
    ) -> None:
        self.bucket = bucket
        self.mode: Mode = mode
        self.meter = meter
        # Called whenever a request begins to wait; it must not call back into the gate.
        self.on_wait: Callable[[], None] | None = None
        self.waits = Distribution()
        self.unenforced_tokens = 0.0
        self.shadow = Shadow(bucket)
        self._clock = clock
        self._alarm = Alarm(self._turn, call_later)
        self._is_open = False
        self._is_denying = False
        self._passes_all = mode == "Observe"
        self._is_binding = not self._passes_all
        self._line = Line()
        self.configure(settings)

    @property
    def waiting(self) -> int:
        """Requests in line."""
        return len(self._line)

    @property
    def is_enforcing(self) -> bool:
        """Whether a request can be held or refused."""
        return not self._passes_all

    def configure(self, settings: PolicySettings) -> None:
        """Take new bounds of the line; those who wait keep the deadline they came in with."""
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
        self.shadow.retune(now, fill_rate, burst)
        self._turn()

    def add(self, now: float, tokens: float) -> None:
        """Put lump tokens into the bucket; whoever they suffice for goes on at once."""
        self.bucket.add(now, tokens)
        self.shadow.add(now, tokens)
        self._turn()

    def take_out(self, now: float, tokens: float) -> float:
        """Give up so many of the bucket's tokens, or what there is; answers how many."""
        return self.bucket.settle(now, tokens, max_debt=0.0)

    def ask(
        self,
        now: float,
        cost: float,
        decided: Callable[[Verdict], None],
        max_wait_seconds: float = inf,
        urgency: int = DEFAULT_URGENCY,
        is_marked_retry: bool = False,
    ) -> Verdict | Waiter:
        """Decide at once where that is possible; otherwise answer a Waiter and call `decided` later, exactly once.

        `now` is the clock's.
        """
        if self._is_binding and not self._line.length and self.bucket.try_take(now, cost):
            self.meter.passed(cost, is_marked_retry)
            return cost
        meter = self.meter
        meter.arrived(cost, is_marked_retry)
        if self._passes_all:
            meter.admitted(cost)
            if self.mode == "Observe":
                self.shadow.ask(now, cost, min(max_wait_seconds, self._max_wait_seconds))
            return self._pass_unenforced(now, cost)
        if self._is_denying:
            meter.refused(cost)
            return Refusal("denied", self._report_interval_seconds)
        if self._line.length and self._line.is_clear_for(urgency) and self.bucket.try_take(now, cost):
            meter.admitted(cost)
            return cost
        return self._stand_in_line(now, cost, decided, max_wait_seconds, urgency)

    async def acquire(self, cost: float, max_wait_seconds: float = inf, urgency: int = DEFAULT_URGENCY) -> Verdict:
        """`ask` for coroutines. Cancelled while waiting, it takes nothing; cancelled just after, it gives back."""
        decision: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

        def decided(verdict: Verdict) -> None:
            if not decision.cancelled():
                decision.set_result(verdict)
            elif not isinstance(verdict, Refusal):
                self.give_back(cost, verdict)

        answer = self.ask(self._clock(), cost, decided, max_wait_seconds, urgency)
        if not isinstance(answer, Waiter):
            return answer
        try:
            return await decision
        except asyncio.CancelledError:
            self._abandon(answer, decision)
            raise

    def leave(self, waiter: Waiter) -> None:
        """Give up a place in line; nothing happens if it was decided about."""
        if waiter in self._line:
            self._remove(waiter)
            self._turn()

    def give_back(self, cost: float, taken: float) -> None:
        """Undo an admission that used nothing of the resource: `taken` is the verdict on `cost`."""
        self.meter.returned(cost)
        if taken:
            self.bucket.settle(self._clock(), -taken)
            self._turn()

    def settle(self, reserved: float, actual: float, taken: float, max_debt: float) -> None:
        """Replace what was `reserved` for a request by its `actual` cost; `taken` is the verdict on the former."""
        self.meter.settled(actual - reserved)
        if self.mode == "Observe":
            self.shadow.settle(self._clock(), actual - reserved, max_debt)
        if taken:
            self.bucket.settle(self._clock(), actual - reserved, max_debt)
            self._turn()

    def _abandon(self, waiter: Waiter, decision: "asyncio.Future[Verdict]") -> None:
        if decision.cancelled():
            self.leave(waiter)
        elif not isinstance(verdict := decision.result(), Refusal):
            self.give_back(waiter.cost, verdict)

    def _pass_unenforced(self, now: float, cost: float) -> float:
        if self.bucket.try_take(now, cost):
            return cost
        self.unenforced_tokens += cost
        return 0.0

    def _stand_in_line(
        self, now: float, cost: float, decided: Callable[[Verdict], None], max_wait_seconds: float, urgency: int
    ) -> Waiter | Refusal:
        wait_seconds = min(max_wait_seconds, self._max_wait_seconds)
        if wait_seconds <= 0.0 or len(self._line) >= self._max_requests:
            self.meter.refused(cost)
            return Refusal("queue_full", self._seconds_until_free(now, cost))
        waiter = Waiter(cost, urgency, now, now + wait_seconds, decided)
        self._line.add(waiter)
        self.meter.backlog = self._line.tokens
        if waiter.expires_at < self._alarm.at or waiter is self._line.head():
            self._set_timer(now)
        if self.on_wait is not None:
            self.on_wait()
        return waiter

    def _remove(self, waiter: Waiter) -> None:
        self._line.remove(waiter)
        self.meter.backlog = self._line.tokens

    def _switched(self) -> None:
        self._passes_all = self.mode == "Observe" or self._is_open
        self._is_binding = not self._passes_all and not self._is_denying
        self._turn()

    def _turn(self) -> None:
        """Decide about everyone who can be decided about, then set the timer for the next one."""
        if self._line.length or self._alarm.at < inf:
            now = self._clock()
            self._admit(now)
            while (late := self._line.expired(now)) is not None:
                self._remove(late)
                self._refuse(late, Refusal("waited_too_long", self._seconds_until_free(now, late.cost)))
            self._set_timer(now)

    def _admit(self, now: float) -> None:
        while (head := self._line.head()) is not None:
            if self._passes_all:
                taken = self._pass_unenforced(now, head.cost)
            elif self._is_denying:
                self._remove(head)
                self._refuse(head, Refusal("denied", self._report_interval_seconds))
                continue
            elif self.bucket.try_take(now, head.cost):
                taken = head.cost
            else:
                return
            self._remove(head)
            self.meter.admitted(head.cost)
            self.waits.add(now - head.arrived_at)
            head.decided(taken)

    def _refuse(self, waiter: Waiter, refusal: Refusal) -> None:
        self.meter.refused(waiter.cost)
        waiter.decided(refusal)

    def _seconds_until_free(self, now: float, cost: float) -> float:
        """When everyone who waits has been served and `cost` is there; at rate 0, when the next grant may come."""
        bucket = self.bucket
        if bucket.fill_rate <= 0.0 or bucket.burst <= 0.0:
            return self._report_interval_seconds
        missing = self._line.tokens + min(cost, bucket.burst) - bucket.tokens_at(now)
        return max(0.0, missing / bucket.fill_rate)

    def _set_timer(self, now: float) -> None:
        """One timer serves all: the head's tokens or the earliest deadline, whichever comes first."""
        head, at = self._line.head(), inf
        if head is not None:
            at = min(now + self.bucket.seconds_until(now, head.cost), self._line.next_deadline())
        self._alarm.set(now, at)
