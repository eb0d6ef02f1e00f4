"""Attempts to get more than a share: by many pods, by large words. Against the controller, on a clock of our own."""

from typing import Any

import pytest

from forefill_operator import schema
from forefill_operator.client import Client
from forefill_operator.controller import TICK_SECONDS, Controller
from forefill_operator.policy import parse_policy
from forefill_protocol import messages

INTERVAL = 10.0


class Clients:
    """Honest sidecars of pods that all want `offered` tokens/s; each reports once an interval."""

    def __init__(self, controller: Controller, pods: dict[str, Client], offered: dict[str, float], say: Any) -> None:
        self.controller = controller
        self.pods = pods
        self.offered = offered
        self.say = say
        self.rates: dict[str, float] = dict.fromkeys(pods, 0.0)
        self.sequence = 0

    def take(self, deliveries: Any, now: float) -> None:
        for uid, message in deliveries:
            if isinstance(message, messages.Assignment):
                self.rates[uid] = message.fill_rate
                ack = messages.Ack(message.policy, message.grant_sequence, message.policy_generation)
                self.take(self.controller.ack(uid, ack, now), now)

    def run(self, windows: int) -> None:
        now = 0.0
        for uid, client in self.pods.items():
            self.take(self.controller.hello(client, self.say.hello(messages.Holding(policy="shop/llm")), now), now)
            assert uid == client.pod_uid
        for _ in range(windows):
            for _ in range(int(INTERVAL / TICK_SECONDS)):
                now += TICK_SECONDS
                self.take(self.controller.tick(now), now)
            self.sequence += 1
            for uid, client in self.pods.items():
                self.take(self.controller.report(client, self.report(uid), now), now)
                total = sum(self.rates.values())
                assert total <= 100.0 * 1.000001, f"over-grant at {now}: {total}"

    def report(self, uid: str) -> messages.Report:
        wanted = self.offered[uid]
        forecast = messages.Forecast(wanted, wanted, wanted, wanted)
        return self.say.report(  # type: ignore[no-any-return]
            self.sequence,
            offered=wanted * INTERVAL,
            admitted=min(wanted, self.rates[uid]) * INTERVAL,
            backlog=0.0,
            forecasts=[forecast] * 3,
        )


def pods(**replicas: int) -> dict[str, Client]:
    found = [
        Client(space, "web", f"web-{number}", f"{space}-{number}")
        for space, count in replicas.items()
        for number in range(count)
    ]
    return {client.pod_uid: client for client in found}


def controller_of(say: Any, **spec: Any) -> Controller:
    controller = Controller(first_start=True)
    fill_rate = {"base": 100, "min": 100, "max": 100}
    clients = {"namespaces": ["shop", "elsewhere"]}
    manifest = say.manifest(**{"fillRate": fill_rate, "clients": clients, **spec})
    controller.put_policy(parse_policy(schema.complete(manifest)), 0.0)
    return controller


@pytest.mark.parametrize("replicas", [1, 9, 40])
def test_more_replicas_do_not_buy_a_namespace_more(replicas: int, say: Any) -> None:
    """Classes share first, max-min, one a namespace: the victim has half, however many the other starts."""
    crowd = pods(shop=1, elsewhere=replicas)
    clients = Clients(controller_of(say), crowd, dict.fromkeys(crowd, 200.0), say)
    clients.run(8)
    assert clients.rates["shop-0"] == pytest.approx(50.0, rel=0.12)


def test_a_class_gets_no_more_than_its_ceiling(say: Any) -> None:
    crowd = pods(shop=3)
    spec = {"clients": {"classes": [{"name": "all", "podSelector": {}, "ceiling": 30}]}}
    clients = Clients(controller_of(say, **spec), crowd, dict.fromkeys(crowd, 1e6), say)
    clients.run(6)
    assert sum(clients.rates.values()) <= 30.0 * 1.01


def test_the_largest_demand_does_not_take_what_others_need(say: Any) -> None:
    """Max-min: whoever asks for less than an equal share is given all of it, whatever others ask."""
    crowd = pods(shop=2)
    offered = {"shop-0": 20.0, "shop-1": 1e12}
    clients = Clients(controller_of(say), crowd, offered, say)
    clients.run(8)
    assert clients.rates["shop-0"] >= 20.0 * 0.99
