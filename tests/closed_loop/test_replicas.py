"""Several operators that share a store, on a virtual clock: killed, paused, split from the store, joined by others."""

import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from math import fsum
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.closed_loop.test_grants import KEY, Pod, policy

from forefill_operator.client import Client
from forefill_operator.controller import TICK_SECONDS, Deliveries
from forefill_operator.envelope import CLOCK_MARGIN
from forefill_operator.exchange import BEAT_SECONDS, Exchange
from forefill_operator.grants import settings as policy_settings
from forefill_operator.mail import SLOW_SECONDS
from forefill_operator.replica import Replica
from forefill_operator.store.interface import OWNER_SECONDS, StoreFault
from forefill_operator.store.memory import MemoryStore
from forefill_protocol.podsettings import PolicyListener
from forefill_sidecar.tenure import Tenure

STEP_SECONDS = 0.25
AWAY = StoreFault("StoreUnavailable", "the store can't be reached")
_T = TypeVar("_T")


def at_once(call: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine that never waits, as those over a memory store don't."""
    try:
        call.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    raise AssertionError("the coroutine waited")


@dataclass
class Operator:
    replica: Replica
    exchange: Exchange
    beat_at: float
    paused: bool = False


@dataclass
class Fleet:
    """Messages arrive at once. A pod whose operator is dead or paused comes back to another one after some seconds."""

    seed: int
    operators: dict[str, Operator] = field(default_factory=dict)
    # Streams to a paused operator stay open.
    are_patient: bool = False

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.now = 0.0
        self.policy = policy()
        self.store = MemoryStore(lambda: self.now)
        self.pods: dict[str, Pod] = {}
        self.fronts: dict[str, str] = {}
        self._back_at: dict[str, float] = {}
        self._numbers = 0
        self._tick_at = 0.0

    # Events

    def start_operator(self, *, is_first: bool = False) -> str:
        self._numbers += 1
        name = f"operator-{self._numbers}"
        replica = Replica(name)
        replica.put_policy(self.policy, self.now, is_new=is_first)
        exchange = Exchange(replica, self.store, lambda sent: self._deliver(name, sent), lambda: self.now)
        self.operators[name] = Operator(replica, exchange, self.now + self.random.uniform(0.0, 1.0))
        self.store.listeners[name] = lambda data: self._hear(name, data)
        at_once(exchange.beat())
        return name

    def kill(self, name: str) -> None:
        del self.operators[name], self.store.listeners[name]

    def start_pod(self, demand: float) -> Pod:
        self._numbers += 1
        uid = f"uid-{self._numbers}"
        listener = PolicyListener(
            KEY, "policy-uid", 1, 17001, "http://llm.ns.svc:8000", "Enforce", 2.0, 1.0,
            policy_settings(self.policy.spec),
        )  # fmt: skip
        due = self.now + self.random.uniform(0.5, 10.0)
        pod = Pod(Client("ns", "sa", uid, uid), Tenure(listener, self.now), lambda at: at, due, demand)
        self.pods[uid] = pod
        self._connect(uid)
        return pod

    def stop_pod(self, uid: str) -> None:
        """Its goodbye is heard, if its operator hears anything."""
        operator = self._front(uid)
        if operator is None:
            return
        del self.pods[uid]
        operator.replica.goodbye(uid, self.now)

    # Time

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += STEP_SECONDS
            for uid in list(self.pods):
                self._live(uid)
            self._plan()
            for operator in list(self.operators.values()):
                self._work(operator)
            self.check()

    def _live(self, uid: str) -> None:
        pod = self.pods[uid]
        waits = self.are_patient and self.fronts.get(uid) in self.operators
        if (
            self._front(uid) is None
            and not waits
            and self.now >= self._back_at.setdefault(uid, self.now + self.random.uniform(1.0, 8.0))
        ):
            self._connect(uid)
        if self.now >= pod.report_due:
            pod.report_due = self.now + 10.0
            report = pod.report(self.now)
            if operator := self._front(uid):
                operator.replica.report(pod.client, report, self.now)

    def _plan(self) -> None:
        if self.now >= self._tick_at:
            self._tick_at = self.now + TICK_SECONDS
            for operator in self.operators.values():
                if not operator.paused:
                    operator.replica.tick(self.now)

    def _work(self, operator: Operator) -> None:
        if operator.paused:
            return
        try:
            at_once(operator.exchange.flush())
        except StoreFault as fault:
            operator.replica.fault = fault
        if self.now >= operator.beat_at:
            operator.beat_at = self.now + BEAT_SECONDS
            at_once(operator.exchange.beat())

    def _connect(self, uid: str) -> None:
        self._back_at.pop(uid, None)
        awake = sorted(name for name, operator in self.operators.items() if not operator.paused)
        if not awake:
            return
        before, pod = self._front(uid), self.pods[uid]
        if before is not None:
            before.replica.disconnected(uid, self.now)
        self.fronts[uid] = self.random.choice(awake)
        self.operators[self.fronts[uid]].replica.hello(pod.client, pod.hello(self.now), self.now)

    def _front(self, uid: str) -> Operator | None:
        operator = self.operators.get(self.fronts.get(uid, ""))
        return operator if operator and not operator.paused else None

    def _hear(self, name: str, data: bytes) -> None:
        if not self.operators[name].paused:
            self.operators[name].exchange.receive(data)

    def _deliver(self, name: str, deliveries: Deliveries) -> None:
        for uid, message in deliveries:
            pod = self.pods.get(uid)
            if pod is None or self.fronts.get(uid) != name:
                continue
            if ack := pod.receive(message, self.now):
                self.operators[name].replica.ack(uid, ack, self.now)

    # What must hold at every moment

    def in_use(self) -> float:
        return fsum(pod.rate(self.now) for pod in self.pods.values() if pod.tenure.assignment)

    def check(self) -> None:
        assert self.in_use() <= self.policy.spec.fill_rate.max * (1 + 1e-9), f"at {self.now}"

    def owners(self) -> list[str]:
        return [name for name, operator in self.operators.items() if KEY in operator.replica.owned]


def fleet_of(operators: int, demands: list[float], seed: int = 1) -> Fleet:
    fleet = Fleet(seed)
    for number in range(operators):
        fleet.start_operator(is_first=number == 0)
    fleet.run(3.0)
    for demand in demands:
        fleet.start_pod(demand)
    fleet.run(40.0)
    return fleet


def total(fleet: Fleet) -> float:
    return sum(min(pod.demand, pod.rate(fleet.now)) for pod in fleet.pods.values())


def test_one_of_three_operators_serves_a_policy_for_pods_of_all() -> None:
    fleet = fleet_of(3, [20.0, 60.0, 100.0, 140.0])
    assert len(fleet.owners()) == 1
    assert len(set(fleet.fronts.values())) > 1
    assert total(fleet) == pytest.approx(320.0)


def test_a_killed_owner_is_followed_within_its_time_and_every_grant_is_kept() -> None:
    fleet = fleet_of(2, [20.0, 60.0, 100.0, 140.0])
    fleet.kill(fleet.owners()[0])
    fleet.run(OWNER_SECONDS + 2 * BEAT_SECONDS)
    assert len(fleet.owners()) == 1
    book = fleet.operators[fleet.owners()[0]].replica.books[KEY]
    assert book.learning.unknown_at(fleet.now) == 0.0
    fleet.run(5.0)
    assert total(fleet) == pytest.approx(320.0)
    fleet.run(CLOCK_MARGIN * fleet.policy.spec.report.lease_seconds)
    assert total(fleet) == pytest.approx(320.0)


def test_a_paused_owner_that_wakes_grants_nothing_more() -> None:
    fleet = fleet_of(2, [60.0, 100.0, 140.0])
    paused = fleet.owners()[0]
    fleet.operators[paused].paused = True
    fleet.run(OWNER_SECONDS + 2 * BEAT_SECONDS + 1.0)
    operator = fleet.operators[paused]
    operator.paused, operator.beat_at = False, fleet.now + 60.0
    before = {uid: pod.tenure.assignment for uid, pod in fleet.pods.items() if fleet.fronts[uid] == paused}
    book = operator.replica.books[KEY]
    operator.replica._keep([(uid, m.assignment) for uid, m in book.members.items() if m.assignment])
    at_once(operator.exchange.flush())
    assert {uid: fleet.pods[uid].tenure.assignment for uid in before} == before
    assert KEY not in operator.replica.owned


@pytest.mark.parametrize("seed", range(1, 9))
@pytest.mark.parametrize("seconds", [8.0, 20.0, 45.0])
def test_an_owner_that_wakes_and_owns_again_rests_on_no_grant_that_has_lapsed_meanwhile(
    seed: int, seconds: float
) -> None:
    fleet = fleet_of(2, [200.0, 200.0, 200.0, 200.0, 200.0], seed)
    (owner,) = fleet.owners()
    assert {owner} < set(fleet.fronts.values())
    fleet.are_patient = fleet.operators[owner].paused = True
    fleet.run(seconds)
    assert fleet.owners() != [owner]
    fleet.operators[owner].paused = False
    fleet.run(40.0)
    assert fleet.owners() == [owner]
    assert total(fleet) == pytest.approx(400.0, rel=0.02)


def test_a_policy_moves_to_an_operator_that_joins_without_a_break() -> None:
    fleet = fleet_of(1, [60.0, 100.0, 140.0])
    for _ in range(6):
        fleet.start_operator()
        fleet.run(5.0)
        assert total(fleet) == pytest.approx(300.0)
    assert fleet.owners() != ["operator-1"]


def test_a_lost_store_is_learnt_anew_and_max_is_reserved_meanwhile() -> None:
    fleet = fleet_of(2, [60.0, 100.0, 140.0])
    fleet.store.flush()
    fleet.kill(fleet.owners()[0])
    fleet.run(OWNER_SECONDS + 2 * BEAT_SECONDS)
    book = fleet.operators[fleet.owners()[0]].replica.books[KEY]
    assert book.learning.until > fleet.now
    fleet.run(60.0)
    assert total(fleet) == pytest.approx(300.0)


def test_a_flushed_store_does_not_make_its_owner_forget() -> None:
    fleet = fleet_of(2, [60.0, 100.0, 140.0])
    fleet.store.flush()
    fleet.run(3.0)
    assert len(fleet.owners()) == 1
    fleet.run(60.0)
    assert total(fleet) == pytest.approx(300.0)


def test_a_store_that_is_away_is_told_in_the_status_and_leases_carry_the_pods() -> None:
    fleet = fleet_of(2, [60.0, 100.0, 140.0])
    owner = fleet.operators[fleet.owners()[0]].replica
    fleet.store.fault = AWAY
    fleet.run(2.0)
    status = owner.status(KEY, fleet.now)
    assert status is not None
    told = {condition.type: (condition.status, condition.reason) for condition in status.conditions}
    assert told["Enforced"] == ("False", "StoreUnavailable")
    fleet.run(60.0)
    assert 0.0 < fleet.in_use() <= 0.5 * fleet.policy.spec.fill_rate.max
    fleet.store.fault = None
    fleet.run(25.0)
    assert total(fleet) == pytest.approx(300.0)
    assert len(fleet.owners()) == 1


def test_a_report_to_another_operator_gets_the_grant_on_record_when_its_owner_is_slow() -> None:
    fleet = fleet_of(2, [20.0, 30.0, 40.0, 60.0, 100.0, 140.0])
    owner = fleet.owners()[0]
    uid = next(uid for uid, front in fleet.fronts.items() if front != owner)
    front, pod = fleet.operators[fleet.fronts[uid]], fleet.pods[uid]
    recorded = pod.tenure.assignment
    assert recorded is not None
    pod.tenure.assignment = None
    fleet.operators[owner].paused = True
    front.replica.report(pod.client, pod.report(fleet.now), fleet.now)
    at_once(front.exchange.flush())
    assert pod.tenure.assignment is None
    fleet.now += SLOW_SECONDS
    at_once(front.exchange.beat())
    assert pod.tenure.assignment == recorded


EVENTS = ("start", "stop", "demand", "join", "kill", "pause", "wake", "away", "back", "flush", "nothing")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), events=st.lists(st.sampled_from(EVENTS), min_size=3, max_size=14))
def test_whatever_happens_to_operators_and_store_no_token_is_given_twice(seed: int, events: list[str]) -> None:
    fleet = fleet_of(2, [50.0, 150.0, 250.0], seed)
    acts: dict[str, Callable[[], object]] = {
        "start": lambda: fleet.start_pod(fleet.random.uniform(1.0, 400.0)) if len(fleet.pods) < 12 else None,
        "stop": lambda: fleet.stop_pod(fleet.random.choice(sorted(fleet.pods))) if fleet.pods else None,
        "demand": lambda: (
            setattr(fleet.random.choice([*fleet.pods.values()]), "demand", fleet.random.uniform(0.0, 400.0))
            if fleet.pods
            else None
        ),
        "join": lambda: fleet.start_operator() if len(fleet.operators) < 4 else None,
        "kill": lambda: fleet.kill(fleet.random.choice(sorted(fleet.operators))) if len(fleet.operators) > 1 else None,
        "pause": lambda: setattr(fleet.random.choice([*fleet.operators.values()]), "paused", True),
        "wake": lambda: [setattr(operator, "paused", False) for operator in fleet.operators.values()],
        "away": lambda: setattr(fleet.store, "fault", AWAY),
        "back": lambda: setattr(fleet.store, "fault", None),
        "flush": fleet.store.flush,
        "nothing": lambda: None,
    }
    for event in events:
        acts[event]()
        fleet.run(fleet.random.uniform(0.25, 15.0))
    fleet.run(35.0)


def test_a_policy_that_another_operator_served_is_not_new_to_the_one_that_read_it_first() -> None:
    fleet = Fleet(seed=1)
    first = fleet.start_operator(is_first=True)
    replica = fleet.operators[first].replica
    fleet.store.shelves.clear()
    replica.drop(KEY)
    replica.unserved.add(KEY)
    assert at_once(fleet.store.claim(KEY, "another", fleet.store.life_name)) is not None
    fleet.run(OWNER_SECONDS / 2)
    fleet.store.flush()
    fleet.run(2 * BEAT_SECONDS)
    assert replica.books[KEY].learning.unknown_at(fleet.now) == fleet.policy.spec.fill_rate.max
