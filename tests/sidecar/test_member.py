"""One policy of a pod on a clock of the test's own: whatever comes, nothing is told twice and no token is made up."""

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from forefill_protocol import messages
from forefill_protocol.podsettings import PolicyListener
from forefill_protocol.policysettings import CostSettings, ForecastSettings, PolicySettings, QueueSettings
from forefill_sidecar.agent import Agent, Member
from forefill_sidecar.bucket import TokenBucket
from forefill_sidecar.early import MOST_A_WINDOW
from forefill_sidecar.expectations import Expectations
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.gate import Gate
from forefill_sidecar.meter import Meter
from forefill_sidecar.tenure import Tenure

INTERVAL = 10.0
SETTINGS = PolicySettings(
    report_interval_seconds=INTERVAL,
    lease_seconds=30.0,
    fallback="Safe",
    forecast=ForecastSettings("Ensemble", 0.95, 3),
    queue=QueueSettings(20.0, 100),
    cost=CostSettings(1.0),
)
LISTENER = PolicyListener("ns/llm", "uid", 1, 17001, "http://llm", "Enforce", 2.0, 6.0, SETTINGS)


class Timer:
    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


@dataclass
class Port:
    """The smallest thing that can be shaped: no sockets, no event loop."""

    gate: Gate
    meter: Meter
    expectations: Expectations = field(default_factory=Expectations)

    def configure(self, settings: PolicySettings) -> None:
        self.gate.configure(settings)


class Pod:
    """Moves time from timer to timer, and keeps the sum of what its bucket may have given by now."""

    def __init__(self) -> None:
        self.now, self.sequence, self.sent = 0.0, 0, list[messages.PolicyReport]()
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = count()
        meter = Meter(0.0)
        bucket = TokenBucket(0.0, 6.0, 0.0, 0.0)
        self.gate = Gate(bucket, SETTINGS, "Enforce", meter, lambda: self.now, self._later)
        self.member = Member(
            Port(self.gate, meter), Tenure(LISTENER, 0.0), Predictor("Ensemble", 3), SETTINGS, INTERVAL
        )
        self.agent = Agent("boot", "test", [self.member], self._send, lambda: self.now)
        self.agent.hello()
        self.offered = self.dearest = self.earned = 0.0
        self.most_burst = bucket.burst

    def _send(self, message: messages.Up) -> bool:
        if isinstance(message, messages.Report):
            self.sent += message.entries
        return True

    def _later(self, seconds: float, call: Callable[[], None]) -> Timer:
        timer = Timer(call)
        heappush(self._timers, (self.now + seconds, next(self._numbers), timer))
        return timer

    def pass_seconds(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            timer_at = self._timers[0][0] if self._timers else end
            self._move(min(end, timer_at, max(self.now, self.agent.next_moment()), self.now + 1.0))
            while self._timers and self._timers[0][0] <= self.now:
                timer = heappop(self._timers)[2]
                if timer.call:
                    timer.call()
            self.agent.step(self.now)
            self.agent.look(self.now)

    def _move(self, to: float) -> None:
        self.earned += (to - self.now) * self.gate.bucket.fill_rate
        self.now = to

    def offer(self, cost: float) -> None:
        self.offered += cost
        self.dearest = max(self.dearest, cost)
        self.gate.ask(self.now, cost, lambda verdict: None)

    def assign(self, rate: float, lump: float, again: bool, step: float) -> None:
        """A grant, or the last one once more."""
        held = self.member.tenure.assignment
        self.sequence += 0 if again and held else 1
        self.most_burst = max(self.most_burst, 3.0 * rate)
        self.agent.receive(
            messages.Assignment(
                policy="ns/llm",
                policy_uid="uid",
                policy_generation=1,
                grant_sequence=self.sequence,
                answers=self.agent.sequence,
                fill_rate=rate,
                burst=3.0 * rate,
                safe_rate=min(rate, 2.0),
                next_report_seconds=INTERVAL,
                rate_seconds=INTERVAL + 2.0,
                lease_seconds=30.0,
                mode="Enforce",
                lump_tokens=lump,
                steps=[messages.Step(3.0, step)],
            )
        )

    def recall(self, rate: float) -> None:
        self.sequence += 1
        self.agent.receive(messages.Recall("ns/llm", self.sequence, rate))


amounts = st.floats(0.0, 30.0)
EVENTS = st.one_of(
    st.tuples(st.just("pass_seconds"), st.floats(0.01, 15.0)),
    st.tuples(st.just("offer"), amounts),
    st.tuples(st.just("assign"), amounts, amounts, st.booleans(), amounts),
    st.tuples(st.just("recall"), amounts),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(EVENTS, max_size=40))
def test_every_token_is_told_once_and_admitted_only_when_it_was_granted(events: list[tuple[Any, ...]]) -> None:
    pod = Pod()
    for name, *arguments in events:
        getattr(pod, name)(*arguments)
        granted = pod.most_burst + pod.member.counts.lump_tokens + pod.earned + pod.dearest
        assert pod.member.listener.meter.totals.admitted <= granted + 1e-6
    pod.agent.report_now()
    told = sum(entry.offered for entry in pod.sent)
    assert abs(told - pod.offered) < 1e-6
    assert abs(sum(entry.window_seconds for entry in pod.sent) - pod.now) < 1e-6


@settings(max_examples=100, deadline=None)
@given(st.lists(EVENTS, max_size=40))
def test_a_window_has_few_early_reports_whatever_happens(events: list[tuple[Any, ...]]) -> None:
    pod = Pod()
    for name, *arguments in events:
        getattr(pod, name)(*arguments)
    early = 0
    for entry in pod.sent:
        early = early + 1 if entry.early else 0
        assert early <= MOST_A_WINDOW


@given(st.lists(st.tuples(amounts, amounts), min_size=1, max_size=10))
def test_lumps_are_added_once_a_grant_however_often_it_comes(grants: list[tuple[float, float]]) -> None:
    pod = Pod()
    for rate, lump in grants:
        for again in (False, True, True):
            pod.assign(rate, lump, again, rate)
    assert abs(pod.member.counts.lump_tokens - sum(lump for _, lump in grants)) < 1e-6


def test_what_waits_for_the_first_grant_is_told_as_soon_as_it_is_there() -> None:
    pod = Pod()
    for _ in range(10):
        pod.offer(1.0)
    pod.pass_seconds(0.1)
    pod.agent.look(pod.now)
    pod.assign(2.0, 0.0, False, 2.0)
    pod.agent.look(pod.now)
    assert [(entry.early, entry.offered, entry.backlog) for entry in pod.sent] == [(True, 10.0, 10.0)]
