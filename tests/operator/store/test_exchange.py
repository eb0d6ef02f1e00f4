"""An operator's way to its store: what it counts, and what it says of policies while the store is at fault."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry
from tests.closed_loop.test_grants import KEY, policy

from forefill_operator import relay
from forefill_operator.client import Client
from forefill_operator.conditions import Condition
from forefill_operator.exchange import Exchange
from forefill_operator.replica import Replica
from forefill_operator.status import PolicyStatus
from forefill_operator.store.interface import Batch, Outcome, Owner, StoreFault
from forefill_operator.store.memory import MemoryStore
from forefill_operator.store.metrics import StoreMetrics
from forefill_protocol import codec
from forefill_protocol.messages import Assignment, Hello, Holding

FORBIDDEN = StoreFault("StoreForbids", "the store does not let this user write")
CLIENT = Client("ns", "sa", "pod", "uid")
HELLO = Hello(protocol=1, boot_id="boot", software="test", holdings=[Holding(policy=KEY)])


@dataclass
class SlowStore(MemoryStore):
    """`meanwhile` happens, by the name of the call, while the operator waits for its answer."""

    meanwhile: dict[str, Callable[[], object]] = field(default_factory=dict)

    async def keep(self, owned: Mapping[str, int], operator: str) -> set[str]:
        asked = dict(owned)
        self._wait_for("keep")
        assert owned == asked, "what is asked for changed while the store was asked"
        return await super().keep(owned, operator)

    async def records(self, key: str) -> dict[str, bytes]:
        self._wait_for("records")
        return await super().records(key)

    async def write(self, batches: Sequence[Batch], messages: Mapping[str, bytes] = {}) -> list[Outcome]:
        outcomes = await super().write(batches, messages)
        self._wait_for("write")
        return outcomes

    def _wait_for(self, call: str) -> None:
        self.meanwhile.pop(call, lambda: None)()


class Desk:
    """One operator, a store, and what went to streams."""

    def __init__(self) -> None:
        self.store = SlowStore(lambda: 0.0)
        self.registry = CollectorRegistry()
        self.replica = Replica("one")
        self.replica.put_policy(policy(), 0.0, is_new=True)
        self.sent: list[Any] = []
        self.exchange = Exchange(self.replica, self.store, self.sent.extend, lambda: 0.0, StoreMetrics(self.registry))

    def figures(self, *names: str) -> list[float | None]:
        return [self.registry.get_sample_value(f"forefill_store_{name}") for name in names]


def test_a_recorded_grant_is_counted_and_timed() -> None:
    desk = Desk()

    async def play() -> None:
        await desk.exchange.beat()
        desk.replica.hello(CLIENT, HELLO, 0.0)
        await desk.exchange.flush()

    asyncio.run(play())
    assert len(desk.sent) == 1
    assert desk.figures("up", "policies_owned", "write_seconds_count", "writes_refused_total") == [1.0, 1.0, 1.0, 0.0]


def test_a_grant_of_a_policy_that_was_taken_over_is_counted_and_not_sent() -> None:
    desk = Desk()

    async def play() -> None:
        await desk.exchange.beat()
        desk.replica.hello(CLIENT, HELLO, 0.0)
        desk.store.shelves[KEY].owner = Owner("two", 2)
        await desk.exchange.flush()

    asyncio.run(play())
    assert desk.sent == []
    assert desk.figures("writes_refused_total") == [1.0]


def test_a_policy_that_is_lost_while_it_is_being_kept_is_not_served() -> None:
    desk = Desk()

    async def play() -> None:
        await desk.exchange.beat()
        desk.store.meanwhile["keep"] = lambda: desk.replica.drop(KEY)
        await desk.exchange.beat()

    asyncio.run(play())
    assert desk.replica.owned == {}


def test_a_policy_that_is_deleted_while_it_is_being_taken_is_left_to_others() -> None:
    desk = Desk()
    desk.store.meanwhile["records"] = lambda: desk.replica.remove_policy(KEY, 0.0)
    asyncio.run(desk.exchange.beat())
    assert desk.replica.owned == {}
    assert asyncio.run(desk.store.owners([KEY])) == [None]


def test_a_policy_that_turns_out_to_be_taken_over_is_not_given_away() -> None:
    desk = Desk()

    async def play() -> None:
        await desk.exchange.beat()
        desk.replica.hello(CLIENT, HELLO, 0.0)
        desk.store.shelves[KEY].owner = Owner("two", 2)
        desk.replica.remove_policy(KEY, 0.0)
        await desk.exchange.beat()

    asyncio.run(play())
    assert desk.replica.owned == {}
    assert desk.store.shelves[KEY].owner == Owner("two", 2)


def test_a_late_refusal_does_not_touch_what_was_claimed_anew_meanwhile() -> None:
    desk = Desk()

    async def play() -> None:
        await desk.exchange.beat()
        desk.replica.hello(CLIENT, HELLO, 0.0)
        desk.store.shelves[KEY].owner = Owner("one", 2)
        desk.store.meanwhile["write"] = lambda: desk.replica.adopt(KEY, 2, [], whole=True, now=0.0)
        await desk.exchange.flush()

    asyncio.run(play())
    assert desk.sent == []
    assert desk.replica.owned == {KEY: 2}


def test_one_message_that_cannot_be_read_does_not_spoil_those_that_came_with_it() -> None:
    desk = Desk()
    assignment = Assignment(
        policy=KEY, policy_uid="policy-uid", policy_generation=1, grant_sequence=1, answers=1, fill_rate=1.0, burst=1.0,
        safe_rate=1.0, next_report_seconds=10.0, rate_seconds=12.0, lease_seconds=30.0, mode="Enforce",
    )  # fmt: skip
    answer = relay.Answer("uid", codec.encode(assignment))
    desk.exchange.receive(relay.encode([relay.Answer("uid", b"nonsense"), answer]))
    desk.exchange.receive(b"nonsense")
    assert desk.sent == [("uid", assignment)]


def test_a_store_at_fault_from_the_start_is_told_of_policies_that_nobody_owns() -> None:
    desk = Desk()
    desk.store.fault = FORBIDDEN
    asyncio.run(desk.exchange.beat())
    told = Condition("Enforced", "False", "StoreForbids", str(FORBIDDEN), policy().generation)
    assert desk.replica.status(KEY, 0.0) == PolicyStatus([told], policy().generation, 0)
    assert desk.figures("up", "policies_owned") == [0.0, 0.0]


def test_nothing_is_told_of_policies_that_others_own() -> None:
    desk = Desk()
    desk.replica.saw({KEY: Owner("two", 1)}, ["one", "two"])
    desk.store.fault = FORBIDDEN
    asyncio.run(desk.exchange.beat())
    assert desk.replica.status(KEY, 0.0) is None
