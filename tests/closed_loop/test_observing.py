"""What an observed policy says that enforcement would have done, from the requests of its pods to the sentence.

Sidecars with their real gates and agents and the real controller, on a virtual clock.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forefill_lab.simulator.gate import FlowPort
from forefill_operator import schema, status
from forefill_operator.client import Client
from forefill_operator.controller import Controller
from forefill_operator.explanation import pages
from forefill_operator.explanation.answers import answer
from forefill_operator.explanation.facts import PolicyFacts
from forefill_operator.explanation.page import plain
from forefill_operator.grants import settings as policy_settings
from forefill_operator.policy import TokenPolicy, parse_policy
from forefill_protocol import messages
from forefill_protocol.podsettings import PolicyListener
from forefill_sidecar.agent import Agent, Member
from forefill_sidecar.bucket import TokenBucket
from forefill_sidecar.expectations import Expectations
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.gate import Gate
from forefill_sidecar.line import Refusal, Verdict
from forefill_sidecar.meter import Meter
from forefill_sidecar.tenure import Tenure

KEY, STEP_SECONDS = "ai/llm", 0.1


def policy(mode: str, maximum: float) -> TokenPolicy:
    spec = {
        "mode": mode,
        "upstream": {"url": "http://llm.ai.svc:8000"},
        "fillRate": {"base": maximum / 4, "min": maximum / 4, "max": maximum},
    }
    metadata = {"namespace": "ai", "name": "llm", "uid": "policy-uid", "generation": 1}
    return parse_policy(schema.complete({"metadata": metadata, "spec": spec}))


@dataclass
class Pod:
    """`order` names the requests in the order in which they were let through; `late` counts tokens that waited."""

    client: Client
    gate: Gate
    meter: Meter
    agent: Agent
    order: list[int] = field(default_factory=list)
    asked: int = 0
    late: float = 0.0
    refused: float = 0.0

    def ask(self, now: float, cost: float) -> None:
        number, self.asked = self.asked, self.asked + 1

        def decided(verdict: Verdict) -> None:
            if isinstance(verdict, Refusal):
                self.refused += cost
            else:
                self.late += cost
                self.order.append(number)

        verdict = self.gate.ask(now, cost, decided)
        if isinstance(verdict, Refusal):
            self.refused += cost
        elif isinstance(verdict, float):
            self.order.append(number)


class Loop:
    """All pods, their operator, and the timers of the gates. Messages arrive at the next step."""

    def __init__(self, limited: TokenPolicy, pods: int) -> None:
        self.now, self.policy = 0.0, limited
        self.controller = Controller(first_start=True)
        self.controller.put_policy(limited, 0.0)
        self.numbers, self.timers = count(), cast("list[tuple[float, int, Timer]]", [])
        self.up: list[tuple[Pod, messages.Up]] = []
        self.pods = {f"uid-{index}": self._pod(index) for index in range(pods)}
        for pod in self.pods.values():
            pod.agent.hello()

    def _pod(self, index: int) -> Pod:
        limits, meter, start = policy_settings(self.policy.spec), Meter(0.0), 2.0
        bucket = TokenBucket(start, 3.0 * start, 0.0, 0.0)
        gate = Gate(bucket, limits, self.policy.spec.mode, meter, lambda: self.now, self._call_later)
        listener = PolicyListener(
            policy=KEY, policy_uid="policy-uid", policy_generation=1, port=17001, upstream="http://llm:80",
            mode=self.policy.spec.mode, safe_rate=start, burst=3.0 * start, settings=limits,
        )  # fmt: skip
        due = limits.report_interval_seconds * (0.5 + 0.1 * index)
        member = Member(
            cast(Any, FlowPort(cast(Any, gate), meter, Expectations())),
            Tenure(listener, 0.0),
            Predictor("Ensemble", 3),
            limits,
            due,
        )
        agent = Agent("boot", "test", [member], lambda message: self._send(made, message), lambda: self.now)
        made = Pod(Client("ai", "default", f"pod-{index}", f"uid-{index}"), gate, meter, agent)
        member.enforce(0.0)
        return made

    def _send(self, pod: Pod, message: messages.Up) -> bool:
        self.up.append((pod, message))
        return True

    def _call_later(self, seconds: float, act: Callable[[], None]) -> "Timer":
        timer = Timer(act)
        heappush(self.timers, (self.now + seconds, next(self.numbers), timer))
        return timer

    def step(self) -> None:
        self.now += STEP_SECONDS
        while self.timers and self.timers[0][0] <= self.now:
            heappop(self.timers)[2].fire()
        for pod in self.pods.values():
            pod.agent.step(self.now)
            pod.agent.look(self.now)
        heard, self.up = self.up, []
        for pod, message in heard:
            if isinstance(message, messages.Hello):
                self._deliver(self.controller.hello(pod.client, message, self.now))
            elif isinstance(message, messages.Report):
                self._deliver(self.controller.report(pod.client, message, self.now))
            elif isinstance(message, messages.Ack):
                self._deliver(self.controller.ack(pod.client.pod_uid, message, self.now))
        self._deliver(self.controller.tick(self.now))

    def _deliver(self, deliveries: Any) -> None:
        for uid, message in deliveries:
            self.pods[uid].agent.receive(message)

    def told(self) -> bytes:
        said = answer(self.controller, KEY, "", self.now)
        assert said.status == 200
        return said.body


@dataclass
class Timer:
    act: Callable[[], None] | None

    def cancel(self) -> None:
        self.act = None

    def fire(self) -> None:
        if self.act is not None:
            self.act()


def run(mode: str, rates: list[float], maximum: float, seconds: float, seed: int = 0) -> Loop:
    """Requests of one token come at random; `rates` has one pod's tokens/s each."""
    chance, loop = random.Random(seed), Loop(policy(mode, maximum), len(rates))
    for _ in range(round(seconds / STEP_SECONDS)):
        for pod, rate in zip(loop.pods.values(), rates, strict=True):
            for _ in range(int(rate * STEP_SECONDS + chance.random())):
                pod.ask(loop.now, 1.0)
        loop.step()
    return loop


def test_what_the_sidecars_count_reaches_figures_status_and_sentence() -> None:
    loop = run("Observe", [30.0, 30.0, 2.0], 40.0, 120.0)
    facts = msgspec.json.decode(loop.told(), type=PolicyFacts)
    book = loop.controller.books[KEY]
    figures = loop.controller.figures(loop.now)[KEY]
    told = status.manifest(status.status_of(book, None, 1, loop.now), {}, "now")
    assert facts.would_wait + facts.would_refuse > 10.0
    assert (figures.would_wait, figures.would_refuse) == (facts.would_wait, facts.would_refuse)
    assert told["wouldWait"] == pytest.approx(facts.would_wait, rel=1e-3)
    assert told["wouldRefuse"] == pytest.approx(facts.would_refuse, rel=1e-3)
    assert {each.name for each in facts.held_up[:2]} == {"ai/pod-0", "ai/pod-1"}
    assert sum(each.would_wait for each in facts.held_up) == pytest.approx(facts.would_wait)
    page = plain(pages.page_of(loop.told()))
    assert "enforcement would have delayed" in page
    one = plain(pages.page_of(answer(loop.controller, KEY, "pod-0", loop.now).body))
    assert "tokens/s enforcement would have delayed" in one


def test_what_is_told_is_what_enforcement_does_to_the_same_requests() -> None:
    """For those who ask for more than there is; who asks for less gets help while it waits, and nobody waits here."""
    observed, enforced = (run(mode, [30.0, 30.0, 2.0], 40.0, 300.0) for mode in ("Observe", "Enforce"))
    for uid in ("uid-0", "uid-1"):
        there, here = observed.pods[uid], enforced.pods[uid]
        assert there.asked == here.asked
        assert there.gate.shadow.would_wait == pytest.approx(here.late, abs=0.03 * here.asked)
        assert there.gate.shadow.would_refuse == pytest.approx(here.refused, abs=0.03 * here.asked)
    least = observed.pods["uid-2"].gate.shadow
    assert least.would_wait + least.would_refuse >= enforced.pods["uid-2"].late


def test_an_enforced_policy_says_nothing_of_what_would_have_been() -> None:
    loop = run("Enforce", [30.0, 30.0], 40.0, 60.0)
    figures = loop.controller.figures(loop.now)[KEY]
    told = status.manifest(status.status_of(loop.controller.books[KEY], None, 1, loop.now), {}, "now")
    assert (figures.would_wait, figures.would_refuse) == (0.0, 0.0)
    assert not told.keys() & {"wouldWait", "wouldRefuse"}


@settings(max_examples=25, deadline=None)
@given(
    rates=st.lists(st.floats(0.0, 60.0), min_size=1, max_size=4),
    maximum=st.floats(1.0, 50.0),
    seed=st.integers(0, 2**16),
)
def test_observe_never_delays_refuses_or_reorders_a_request(rates: list[float], maximum: float, seed: int) -> None:
    """Invariant 5."""
    loop = run("Observe", rates, maximum, 25.0, seed)
    for pod in loop.pods.values():
        assert pod.order == list(range(pod.asked))
        assert (pod.late, pod.refused, pod.gate.waiting) == (0.0, 0.0, 0)
