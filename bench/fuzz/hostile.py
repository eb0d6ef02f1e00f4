"""What decoded but hostile messages can do to an operator: nothing but cost their sender."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st

from forefill_operator import schema
from forefill_operator.client import Client
from forefill_operator.controller import Controller, Deliveries
from forefill_operator.policy import TokenPolicy, parse_policy
from forefill_operator.pool import POOL_SHARE
from forefill_protocol import codec, messages

KEY = "ns/llm"
INTERVAL, MAX = 10.0, 400.0
HONEST, DEMAND = 3, 60.0
HOSTILE = 3
ROUNDS = 4
# A target that believes the honest as little as it may, in equal shares of everybody: what max-min owes each.
BASE, LEAST_WEIGHT = 50.0, 0.8
LEAST = min(DEMAND, (BASE + LEAST_WEIGHT * HONEST * DEMAND) * (1 - POOL_SHARE) / (HONEST + HOSTILE))
# Leases of 30 s have ended by then.
QUIET_ROUNDS = 4


class Act(NamedTuple):
    """What hostile client `who` sends `after` a part of the interval."""

    who: int
    after: float
    message: messages.Up


def policy() -> TokenPolicy:
    spec: dict[str, Any] = {
        "mode": "Enforce",
        "upstream": {"url": "http://llm.ns.svc:8000"},
        "fillRate": {"base": BASE, "min": 20.0, "max": MAX},
    }
    metadata = {"namespace": "ns", "name": "llm", "uid": "policy-uid", "generation": 1}
    return parse_policy(schema.complete({"metadata": metadata, "spec": spec}))


_AMOUNT = st.sampled_from([0.0, 5e-324, 1e-9, 1.0, 60.0, 400.0, 1e6, 1e12]) | st.floats(0.0, 1e12)
_SECONDS = st.sampled_from([0.0, 5e-324, 1e-6, 1.0, 10.0, 30.0, 1e9]) | st.floats(0.0, 1e9)
_COUNT = st.sampled_from([0, 1, 2, 3, 2**31, 2**52, 2**53]) | st.integers(0, 2**53)
_POLICY = st.sampled_from([KEY] * 6 + ["ns/other", "a/b"])
_TEXT = st.sampled_from(["", "x", "policy-uid", "\0", "\U0001f600" * 64])
_SPREAD = st.none() | st.builds(messages.Spread, _AMOUNT, _AMOUNT, _AMOUNT)
_FORECAST = st.builds(messages.Forecast, _AMOUNT, _AMOUNT, _AMOUNT, _AMOUNT)
_EXPECTATION = st.builds(messages.Expectation, _SECONDS, _SECONDS, _AMOUNT)
_ENTRY = st.builds(
    messages.PolicyReport,
    policy=_POLICY, window_seconds=_SECONDS, offered=_AMOUNT, admitted=_AMOUNT, refused=_AMOUNT, backlog=_AMOUNT,
    requests=_COUNT, forecasts=st.lists(_FORECAST, max_size=3), grant_sequence=_COUNT, policy_generation=_COUNT,
    errors=_COUNT, request_bytes=_SPREAD, cost=_SPREAD, upstream_seconds=_SPREAD,
    expectations=st.lists(_EXPECTATION, max_size=3), early=st.booleans(), restored=st.booleans(),
)  # fmt: skip
_HOLDING = st.builds(
    messages.Holding, _POLICY, _TEXT, _COUNT, _COUNT, _AMOUNT, _AMOUNT, _SECONDS, st.binary(max_size=64)
)
_MESSAGE = st.one_of(
    st.builds(messages.Report, _COUNT, st.lists(_ENTRY, min_size=1, max_size=2)),
    st.builds(messages.Hello, _COUNT, _TEXT, _TEXT, st.lists(_HOLDING, max_size=2)),
    st.builds(messages.Ack, _POLICY, _COUNT, _COUNT),
    st.just(messages.Goodbye()),
)
ACTS = st.lists(
    st.builds(Act, st.integers(0, HOSTILE - 1), st.sampled_from([0.0, 0.0, 0.01, 0.3, 1.0]), _MESSAGE), max_size=6
)
SCRIPTS = st.lists(ACTS, min_size=1, max_size=ROUNDS)


class Honest:
    """Asks for DEMAND all the time, and acknowledges what it gets."""

    def __init__(self, number: int) -> None:
        self.client = Client("ns", "sa", f"honest-{number}", f"honest-{number}")
        self.held: messages.Assignment | None = None
        self.sequence = 0

    def hello(self) -> messages.Hello:
        return messages.Hello(1, "boot", "test", [messages.Holding(KEY)])

    def report(self) -> messages.Report:
        self.sequence += 1
        held = self.held
        admitted = min(DEMAND, held.fill_rate if held else 0.0) * INTERVAL
        forecast = messages.Forecast(DEMAND, DEMAND, DEMAND, DEMAND)
        entry = messages.PolicyReport(
            KEY, INTERVAL, DEMAND * INTERVAL, admitted, DEMAND * INTERVAL - admitted, 0.0, 1, [forecast] * 3,
            held.grant_sequence if held else 0, held.policy_generation if held else 0,
        )  # fmt: skip
        return messages.Report(self.sequence, [entry])


class Room:
    """Honest and hostile clients of one operator, on a clock of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.controller = Controller(first_start=True)
        self.controller.put_policy(policy(), self.now)
        self.honest = [Honest(number) for number in range(HONEST)]
        self.by_uid = {each.client.pod_uid: each for each in self.honest}
        self.hostile = [Client("ns", "sa", f"hostile-{number}", f"hostile-{number}") for number in range(HOSTILE)]
        for each in self.honest:
            self._take(self.controller.hello(each.client, each.hello(), self.now))

    def round(self, acts: Sequence[Act]) -> None:
        """One interval: the honest report, the hostile do as they like."""
        end = self.now + INTERVAL
        for act in acts:
            self._wait(min(self.now + act.after * INTERVAL, end))
            self.play(act)
        self._wait(end)
        for each in self.honest:
            self._take(self.controller.report(each.client, each.report(), self.now))

    def rates(self) -> list[float]:
        return [each.held.fill_rate if each.held else 0.0 for each in self.honest]

    def play(self, act: Act) -> None:
        """At once."""
        self._take(self._deliver(self.hostile[act.who], act.message))

    def _deliver(self, client: Client, message: messages.Up) -> Deliveries:
        match message:
            case messages.Hello():
                return self.controller.hello(client, message, self.now)
            case messages.Report():
                return self.controller.report(client, message, self.now)
            case messages.Ack():
                return self.controller.ack(client.pod_uid, message, self.now)
            case _:
                return self.controller.goodbye(client.pod_uid, self.now)

    def _wait(self, until: float) -> None:
        while self.now < until:
            self.now = min(self.now + 0.5, until)
            self._take(self.controller.tick(self.now))

    def _take(self, deliveries: Deliveries) -> None:
        for uid, message in deliveries:
            # What goes out has to be what a sidecar takes: the decoder's bounds are checked along the way.
            assert codec.decode_down(codec.encode(message)) == message
            if (honest := self.by_uid.get(uid)) and isinstance(message, messages.Assignment | messages.Recall):
                self._obey(honest, message)
        self._check()

    def _obey(self, honest: Honest, message: messages.Assignment | messages.Recall) -> None:
        if isinstance(message, messages.Assignment):
            honest.held = message
        elif honest.held is not None:
            honest.held = msgspec.structs.replace(
                honest.held,
                grant_sequence=message.grant_sequence,
                fill_rate=min(honest.held.fill_rate, message.fill_rate),
                safe_rate=min(honest.held.safe_rate, message.fill_rate),
            )
        held = honest.held
        assert held is not None
        ack = messages.Ack(KEY, held.grant_sequence, held.policy_generation)
        self._take(self.controller.ack(honest.client.pod_uid, ack, self.now))

    def _check(self) -> None:
        book = self.controller.books[KEY]
        held = book.ledger.held
        for number in (held.rate, held.safe_rate, held.burst, book.plan.terms.adjusted, *book.plan.rates.tolist()):
            assert math.isfinite(number)
            assert number >= 0.0
        # What a client claims counts against others, but was not given by anybody here.
        granted = math.fsum(account.granted_at(self.now).rate for account in book.ledger.accounts.values())
        assert granted <= MAX * (1 + 1e-9), granted


def play(script: Sequence[Sequence[Act]]) -> None:
    """Raises AssertionError when the hostile get more than max-min gives, or the honest less."""
    room = Room()
    # The honest are there first, and are known.
    for acts in ([], [], *script):
        room.round(acts)
        assert all(rate >= 0.99 * LEAST for rate in room.rates()), room.rates()
    for _ in range(QUIET_ROUNDS):
        room.round([])
    plan = room.controller.books[KEY].plan
    share = plan.available * (1 - POOL_SHARE) / HONEST
    assert all(rate >= 0.98 * min(DEMAND, share) for rate in room.rates()), (room.rates(), plan)
    room.controller.figures(room.now)
    room.controller.status(KEY, room.now)
