"""The seven scenarios that Doorman published of its own simulator, in our words: how much of 500 is handed out.

Handed out counts when it is wanted: tokens served, of the smaller of the capacity and what came or waited. Doorman's
own figures are 96.6 % on average, 106 % at worst and up to 2 minutes after a shift.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from bench.simulate import scenes

from forefill_lab.simulator.conditions import Conditions, Restart
from forefill_lab.simulator.demand import Demand
from forefill_lab.simulator.policies import constant
from forefill_lab.simulator.simulate import Simulation

CAPACITY = 500.0
SETTLED = 60
# Seconds whose mean counts as handed out again.
CALM = 10
# Doorman's regions and datacenters are a tree of servers; here one operator has all 45 clients.
TREE_CLIENTS = 45


@dataclass(frozen=True)
class Scenario:
    name: str
    demand: Demand
    conditions: Conditions = field(default_factory=Conditions)
    shift_at: int | None = None


@dataclass(frozen=True)
class Outcome:
    """Parts of the capacity that is wanted; `seconds` from the shift until 98 % of it is handed out again."""

    mean: float
    least: float
    most: float
    seconds: float | None


def scenarios() -> list[Scenario]:
    five = scenes.named(scenes.wandering(5, 110.0, 300, 1))
    calm = scenes.named(scenes.wandering(5, 100.0, 300, 4))
    tree = scenes.named(scenes.wandering(TREE_CLIENTS, 15.0, 300, 5))
    spiked = scenes.named(scenes.wandering(TREE_CLIENTS, 15.0, 300, 6, {150: [7, 31]}))
    return [
        Scenario("1 five clients", five),
        Scenario("2 server away 20 s", five, Conditions(restarts=(Restart(120.0, 20.0),))),
        Scenario("3 server away 70 s, leases end", five, Conditions(restarts=(Restart(120.0, 70.0),))),
        Scenario("4 five clients, calm", calm),
        Scenario("5 forty-five clients", tree),
        Scenario("6 two of them spike", spiked, shift_at=150),
        _mishaps(),
    ]


def _mishaps() -> Scenario:
    """Half an hour with a mishap a minute: a client asks for 100 more, or the server is away for up to a minute."""
    chance = np.random.default_rng(7)
    seconds = 1800
    restarts, tokens = [], scenes.wandering(TREE_CLIENTS, 14.0, seconds, 7)
    for minute in range(1, seconds // 60):
        if chance.random() < 0.5:
            tokens[60 * minute :, int(chance.integers(TREE_CLIENTS))] += 100.0
        elif chance.random() < 0.2:
            restarts.append(Restart(60.0 * minute, float(chance.uniform(0.0, 50.0))))
    return Scenario("7 half an hour of mishaps", scenes.named(tokens), Conditions(restarts=tuple(restarts)))


def outcome(scenario: Scenario, controller: str) -> Outcome:
    simulation = Simulation(constant(CAPACITY), scenario.demand, controller, scenario.conditions)
    parts, most, waiting = [], 0.0, 0.0
    running, clients = simulation.running, range(len(scenario.demand.clients))
    for tick in simulation.run():
        wanted = min(CAPACITY, float(scenario.demand.tokens[tick].sum()) + waiting)
        now_waiting = sum(running.flow(client).waiting for client in clients)
        served = simulation.recorder.served
        parts.append(served / wanted)
        waiting = now_waiting
        most = max(most, sum(running.granted(client) for client in clients) / CAPACITY)
    back = None
    if scenario.shift_at is not None:
        after = parts[scenario.shift_at :]
        calm = [sum(after[second : second + CALM]) / CALM >= 0.98 for second in range(len(after) - CALM)]
        back = float(calm.index(True)) if True in calm else float("inf")
    settled = parts[SETTLED:]
    return Outcome(sum(settled) / len(settled), min(settled), most, back)


def table(controllers: list[str]) -> Iterator[str]:
    yield "| scenario | " + " | ".join(f"{name}: mean | least | most" for name in controllers) + " |"
    yield "|---|" + "---|---|---|" * len(controllers)
    for scenario in scenarios():
        cells = []
        for name in controllers:
            found = outcome(scenario, name)
            back = "" if found.seconds is None else f", 98 % after {found.seconds:.0f} s"
            cells.append(f"{found.mean:.1%}{back} | {found.least:.1%} | {found.most:.1%}")
        yield f"| {scenario.name} | " + " | ".join(cells) + " |"
