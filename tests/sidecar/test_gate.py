"""The gate on a clock that only the test moves."""

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_protocol.fields import Mode
from forefill_protocol.policysettings import CostSettings, ForecastSettings, PolicySettings, QueueSettings
from forefill_sidecar.alarm import TIMER_SECONDS
from forefill_sidecar.bucket import TokenBucket
from forefill_sidecar.gate import Gate
from forefill_sidecar.line import Refusal, Verdict, Waiter
from forefill_sidecar.meter import Meter


@dataclass
class Timer:
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


@dataclass
class VirtualTime:
    now: float = 1000.0
    timers: list[tuple[float, int, Timer, Callable[[], None]]] = field(default_factory=list)
    set: int = 0

    def clock(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        timer = Timer()
        self.set += 1
        heapq.heappush(self.timers, (self.now + delay, self.set, timer, call))
        return timer

    def pass_seconds(self, seconds: float) -> None:
        end = self.now + seconds
        while self.timers and self.timers[0][0] <= end:
            at, _, timer, call = heapq.heappop(self.timers)
            self.now = max(self.now, at)
            if not timer.is_cancelled:
                call()
        self.now = end


def settings(max_wait_seconds: float = 5.0, max_requests: int = 100) -> PolicySettings:
    return PolicySettings(
        report_interval_seconds=10.0,
        lease_seconds=30.0,
        fallback="Safe",
        forecast=ForecastSettings(model="Ensemble", quantile=0.95, horizon_windows=3),
        queue=QueueSettings(max_wait_seconds=max_wait_seconds, max_requests=max_requests),
        cost=CostSettings(default=1.0),
    )


@dataclass
class Bench:
    """A gate and what it decided, in order: (name, verdict, at)."""

    time: VirtualTime
    gate: Gate
    decided: list[tuple[str, Verdict, float]] = field(default_factory=list)

    def ask(self, name: str, cost: float = 1.0, max_wait: float = inf, urgency: int = 3) -> Verdict | Waiter:
        def decided(verdict: Verdict) -> None:
            self.decided.append((name, verdict, round(self.time.now - 1000.0, 2)))

        return self.gate.ask(self.time.now, cost, decided, max_wait, urgency)


def bench(
    *,
    rate: float = 1.0,
    burst: float = 10.0,
    tokens: float = 0.0,
    mode: Mode = "Enforce",
    max_wait_seconds: float = 5.0,
    max_requests: int = 100,
) -> Bench:
    time = VirtualTime()
    bucket = TokenBucket(rate, burst, tokens, time.now)
    meter = Meter(time.now)
    gate = Gate(bucket, settings(max_wait_seconds, max_requests), mode, meter, time.clock, time.call_later)
    return Bench(time, gate)


def test_tokens_that_are_there_admit_at_once() -> None:
    b = bench(tokens=2.0)

    assert [b.ask("a"), b.ask("b")] == [1.0, 1.0]
    assert b.gate.waiting == 0


def test_requests_are_served_in_the_order_of_their_arrival() -> None:
    b = bench(rate=2.0)
    for name in "abc":
        assert isinstance(b.ask(name), Waiter)

    b.time.pass_seconds(2.0)

    assert b.decided == [("a", 1.0, 0.5), ("b", 1.0, 1.0), ("c", 1.0, 1.5)]


def test_a_cheap_request_does_not_overtake_a_dear_one() -> None:
    b = bench(rate=1.0, tokens=2.0)
    b.ask("dear", cost=4.0)
    b.ask("cheap", cost=1.0)

    b.time.pass_seconds(4.0)

    assert b.decided == [("dear", 4.0, 2.0), ("cheap", 1.0, 3.0)]


def test_the_urgent_go_first() -> None:
    b = bench(rate=1.0)
    b.ask("usual")
    b.ask("background", urgency=7)
    b.ask("urgent", urgency=0)

    b.time.pass_seconds(4.0)

    assert [name for name, _, _ in b.decided] == ["urgent", "usual", "background"]


def test_who_waited_too_long_is_refused_at_the_deadline() -> None:
    b = bench(rate=0.1, max_wait_seconds=2.0)
    b.ask("a")

    b.time.pass_seconds(3.0)

    ((name, refusal, at),) = b.decided
    assert (name, at) == ("a", 2.0)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "waited_too_long"
    assert refusal.retry_after_seconds == pytest.approx(8.0, abs=0.02)
    assert b.gate.meter.backlog == 0.0


def test_a_request_may_be_less_patient_than_the_policy() -> None:
    b = bench(rate=0.1, max_wait_seconds=5.0)
    b.ask("patient")
    b.ask("hasty", max_wait=1.0)

    b.time.pass_seconds(5.5)

    assert [(name, at) for name, _, at in b.decided] == [("hasty", 1.0), ("patient", 5.0)]


def test_a_full_line_refuses_at_once() -> None:
    b = bench(rate=1.0, max_requests=2)
    b.ask("a"), b.ask("b")

    assert b.ask("c") == Refusal("queue_full", 3.0)
    assert b.gate.meter.totals.refused == 1.0


def test_without_patience_nobody_waits() -> None:
    b = bench(rate=1.0, max_wait_seconds=0.0)

    assert b.ask("a") == Refusal("queue_full", 1.0)


@given(
    rate=st.floats(0.1, 100.0),
    burst=st.floats(0.5, 50.0),
    tokens=st.floats(-20.0, 50.0),
    waiting=st.lists(st.floats(0.1, 20.0), max_size=5),
    cost=st.floats(0.1, 80.0),
)
def test_retried_after_the_time_it_was_told_a_request_passes(
    rate: float, burst: float, tokens: float, waiting: list[float], cost: float
) -> None:
    b = bench(rate=rate, burst=burst, tokens=min(tokens, burst), max_wait_seconds=1e6, max_requests=len(waiting))
    for each in waiting:
        b.ask("before", cost=each)
    refusal = b.ask("asked", cost=cost, max_wait=0.0)
    if not isinstance(refusal, Refusal):
        return

    b.time.pass_seconds(refusal.retry_after_seconds + (len(waiting) + 2) * TIMER_SECONDS)

    assert b.ask("again", cost=cost, max_wait=0.0) == cost


def test_at_rate_zero_the_next_grant_is_worth_waiting_for() -> None:
    b = bench(rate=0.0, max_wait_seconds=0.0)

    assert b.ask("a") == Refusal("queue_full", 10.0)


def test_a_retune_wakes_the_line_at_once() -> None:
    b = bench(rate=0.01)
    b.ask("a"), b.ask("b")
    b.time.pass_seconds(1.0)

    b.gate.retune(b.time.now, fill_rate=2.0, burst=10.0)
    b.time.pass_seconds(1.0)

    assert [(name, at) for name, _, at in b.decided] == [("a", 1.5), ("b", 2.0)]


def test_lump_tokens_wake_the_line_at_once() -> None:
    b = bench(rate=0.0)
    b.ask("a")

    b.gate.add(b.time.now, 1.0)

    assert b.decided == [("a", 1.0, 0.0)]


def test_observe_lets_everything_pass_and_counts_what_would_have_waited() -> None:
    b = bench(mode="Observe", tokens=1.0)

    assert [b.ask("a"), b.ask("b", cost=7.0)] == [1.0, 0.0]
    assert b.gate.unenforced_tokens == 7.0
    assert b.gate.meter.totals.admitted == 8.0


@pytest.mark.parametrize("release", [lambda gate: gate.set_mode("Observe"), lambda gate: gate.open_to_all(True)])
def test_who_waits_goes_on_when_nothing_is_enforced_any_more(release: Callable[[Gate], None]) -> None:
    b = bench(rate=0.0)
    b.ask("a"), b.ask("b")

    release(b.gate)

    assert b.decided == [("a", 0.0, 0.0), ("b", 0.0, 0.0)]
    assert isinstance(b.gate.is_enforcing, bool)
    assert not b.gate.is_enforcing


def test_denying_refuses_those_who_wait_and_those_who_come() -> None:
    b = bench(tokens=1.0)
    b.ask("first")
    b.ask("waiting")

    b.gate.deny_all(True)

    assert b.decided == [("waiting", Refusal("denied", 10.0), 0.0)]
    assert b.ask("late") == Refusal("denied", 10.0)
    b.gate.deny_all(False)
    b.time.pass_seconds(1.0)
    assert b.ask("later") == 1.0


def test_who_leaves_takes_no_tokens_and_lets_the_next_go_on() -> None:
    b = bench(rate=1.0, tokens=2.0)
    dear = b.ask("dear", cost=4.0)
    b.ask("cheap", cost=1.0)
    assert isinstance(dear, Waiter)

    b.gate.leave(dear)
    b.gate.leave(dear)

    assert b.decided == [("cheap", 1.0, 0.0)]
    assert b.gate.meter.backlog == 0.0


def test_an_idle_gate_sets_no_timer() -> None:
    b = bench(rate=1.0)
    waiter = b.ask("a")
    assert isinstance(waiter, Waiter)
    b.gate.leave(waiter)

    assert all(timer.is_cancelled for _, _, timer, _ in b.time.timers)


def test_those_who_come_and_go_leave_nothing_behind() -> None:
    b = bench(rate=0.0, max_wait_seconds=1e6)
    for _ in range(5000):
        waiter = b.ask("a")
        assert isinstance(waiter, Waiter)
        b.gate.leave(waiter)

    assert len(b.gate._line._deadlines) < 200


def test_given_back_tokens_serve_the_next_in_line() -> None:
    b = bench(rate=0.0, tokens=1.0)
    b.ask("a")
    b.ask("b")

    b.gate.give_back(1.0, taken=1.0)

    assert b.decided == [("b", 1.0, 0.0)]
    assert b.gate.meter.close(b.time.now).admitted == 1.0


def test_what_was_not_taken_is_not_given_back() -> None:
    b = bench(mode="Observe", rate=0.0)
    b.ask("a")

    b.gate.give_back(1.0, taken=0.0)

    assert b.gate.bucket.tokens == 0.0


async def test_a_cancelled_acquire_takes_nothing() -> None:
    b = bench(rate=0.0)
    task = asyncio.create_task(b.gate.acquire(1.0))
    await asyncio.sleep(0)
    assert b.gate.waiting == 1

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert (b.gate.waiting, b.gate.bucket.tokens) == (0, 0.0)


async def test_an_acquire_cancelled_just_after_it_was_decided_gives_back() -> None:
    b = bench(rate=0.0)
    task = asyncio.create_task(b.gate.acquire(1.0))
    await asyncio.sleep(0)
    b.gate.add(b.time.now, 1.0)
    assert b.gate.bucket.tokens == 0.0

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert b.gate.bucket.tokens == 1.0


async def test_an_acquire_decided_just_after_it_was_cancelled_gives_back() -> None:
    b = bench(rate=0.0)
    task = asyncio.create_task(b.gate.acquire(1.0))
    await asyncio.sleep(0)

    task.cancel()
    b.gate.add(b.time.now, 1.0)
    await asyncio.gather(task, return_exceptions=True)

    assert b.gate.bucket.tokens == 1.0


async def test_acquire_answers_what_ask_would() -> None:
    b = bench(tokens=1.0, max_wait_seconds=0.0)

    assert [await b.gate.acquire(1.0), await b.gate.acquire(1.0)] == [1.0, Refusal("queue_full", 1.0)]


def test_observe_holds_nobody_and_counts_whom_enforcement_would_have() -> None:
    b = bench(rate=1.0, burst=2.0, tokens=2.0, mode="Observe", max_wait_seconds=2.0)

    assert [b.ask(name) for name in "abcdef"] == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    assert (b.gate.shadow.would_wait, b.gate.shadow.would_refuse) == (2.0, 2.0)
    assert b.gate.unenforced_tokens == 4.0


def test_while_enforcing_the_shadow_counts_nothing() -> None:
    b = bench(tokens=1.0)
    b.ask("a")
    b.ask("b")

    assert (b.gate.shadow.would_wait, b.gate.shadow.would_refuse) == (0.0, 0.0)
