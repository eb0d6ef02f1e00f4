"""An operator's way to its store: what it counts, and what it says of policies while the store is at fault."""

import asyncio
from typing import Any

from prometheus_client import CollectorRegistry
from tests.closed_loop.test_grants import KEY, policy

from forefill_operator.client import Client
from forefill_operator.conditions import Condition
from forefill_operator.exchange import Exchange
from forefill_operator.replica import Replica
from forefill_operator.status import PolicyStatus
from forefill_operator.store.interface import Owner, StoreFault
from forefill_operator.store.memory import MemoryStore
from forefill_operator.store.metrics import StoreMetrics
from forefill_protocol.messages import Hello, Holding

FORBIDDEN = StoreFault("StoreForbids", "the store does not let this user write")
CLIENT = Client("ns", "sa", "pod", "uid")
HELLO = Hello(protocol=1, boot_id="boot", software="test", holdings=[Holding(policy=KEY)])


class Desk:
    """One operator, a store, and what went to streams."""

    def __init__(self) -> None:
        self.store = MemoryStore(lambda: 0.0)
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
