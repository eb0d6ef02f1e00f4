"""Invariant 6 in scenes that are small enough for a test: what an app can say gains it nothing and harms nobody.

A scene this small tells points of late tokens, not tenths; `python -m bench.simulate lies` measures tenths.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from forefill_lab.simulator.demand import demand
from forefill_lab.simulator.expect import Declaration
from forefill_lab.simulator.lies import Lie
from forefill_lab.simulator.policies import constant
from forefill_lab.simulator.simulate import Simulation
from forefill_operator.policy import TokenPolicy

Tokens = NDArray[np.float64]

RATES = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
LIAR, SECONDS, WARM_UP, LOAD, SEEDS = 3, 700, 100, 0.85, 2
MOST_POINTS = 1.0
NAMESPACES = ["a", "b", "liar"]
HEADER = {"header": "x-tokens", "response": {"jsonPointer": "/usage/total_tokens"}}


@dataclass(frozen=True)
class Case:
    """`declared` is work that never comes, in times the liar's mean. With `pods` there are namespaces, and the largest
    client is alone in one, as so many pods.
    """

    lies: Mapping[int, Lie] = field(default_factory=dict)
    declared: float = 0.0
    pods: int = 0
    spec: Mapping[str, Any] = field(default_factory=dict)

    @property
    def liars(self) -> list[int]:
        return list(self.lies) or ([len(RATES) - 1] if self.pods else [LIAR])


CASES = {
    "honest": Case(),
    "forecast x0.5": Case({LIAR: Lie("forecast", 0.5)}),
    "forecast x1.5": Case({LIAR: Lie("forecast", 1.5)}),
    "forecast x3": Case({LIAR: Lie("forecast", 3.0)}),
    "build and burn": Case({LIAR: Lie("burn", 3.0, 10, 3)}),
    "declared": Case(declared=1.0),
    "declared in vast amounts": Case(declared=1000.0),
    "true header": Case({LIAR: Lie("cost", 1.0)}, spec={"cost": HEADER}),
    "header x0.01": Case({LIAR: Lie("cost", 0.01)}, spec={"cost": HEADER}),
    "header x2": Case({LIAR: Lie("cost", 2.0)}, spec={"cost": HEADER}),
    "a fifth": Case({LIAR: Lie("forecast", 1.5), 0: Lie("forecast", 1.5)}),
    "one pod": Case(pods=1),
    "two pods": Case(pods=2),
}


def policy(rate: float, **spec: Any) -> TokenPolicy:
    return constant(rate, "a", **{"clients": {"namespaces": NAMESPACES}, **spec})


def arrivals(seed: int) -> Tokens:
    """Poisson around levels that change every ten seconds."""
    chance = np.random.default_rng(seed)
    level = chance.gamma(8.0, 1 / 8, (SECONDS // 10, len(RATES))).repeat(10, axis=0)
    return chance.poisson(level * RATES).astype(float)


def late(offered: Sequence[float], on_time: Sequence[float], columns: Sequence[int]) -> float:
    """In per cent of the tokens of these columns."""
    total = sum(offered[column] for column in columns)
    return 100.0 * (1.0 - sum(on_time[column] for column in columns) / total)


def spread(tokens: Tokens, pods: int, seed: int) -> tuple[Tokens, list[str], list[int]]:
    """What each pod offers, their names, and which of them are the liar's."""
    others = len(RATES) - 1
    parts = np.random.default_rng(seed).multinomial(tokens[:, -1].astype(int), [1 / pods] * pods).astype(float)
    names = [f"{NAMESPACES[column % 2]}/c{column}" for column in range(others)]
    names += [f"{NAMESPACES[2]}/{number}" for number in range(pods)]
    return np.concatenate([tokens[:, :-1], parts], axis=1), names, list(range(others, others + pods))


@cache
def shares(name: str, liars: tuple[int, ...]) -> list[tuple[float, float]]:
    """Late shares of the liars' tokens and of everybody else's, by seed."""
    case, found = CASES[name], []
    for seed in range(SEEDS):
        tokens = arrivals(seed)
        rate, names, columns = float(tokens.sum()) / SECONDS / LOAD, [f"a/c{each}" for each in range(len(RATES))], liars
        if case.pods:
            tokens, names, columns = spread(tokens, case.pods, seed)
        work = case.declared * RATES[LIAR] * 20.0
        told = [Declaration(float(at), LIAR, at + 20.0, 20.0, work) for at in range(WARM_UP, SECONDS, 20) if work]
        offered, on_time = served(policy(rate, **case.spec), tokens, names, seed, case.lies, told)
        rest = [column for column in range(len(names)) if column not in columns]
        found.append((late(offered, on_time, columns), late(offered, on_time, rest)))
    return found


def served(
    limited: TokenPolicy,
    tokens: Tokens,
    names: Sequence[str],
    seed: int,
    lies: Mapping[int, Lie],
    told: Sequence[Declaration],
) -> tuple[Sequence[float], Sequence[float]]:
    """Tokens offered and on time, by column."""
    wanted = demand(tokens, 1.0, names)
    simulation = Simulation(limited, wanted, lies=lies, declarations=told, seed=seed, warm_up=WARM_UP)
    for _ in simulation.run():
        pass
    return simulation.recorder.offered, simulation.recorder.on_time


@pytest.mark.parametrize(
    ("lie", "truth"),
    [
        ("forecast x0.5", "honest"),
        ("forecast x1.5", "honest"),
        ("forecast x3", "honest"),
        ("build and burn", "honest"),
        ("a fifth", "honest"),
        ("declared", "honest"),
        ("declared in vast amounts", "honest"),
        ("header x0.01", "true header"),
        ("header x2", "true header"),
        ("two pods", "one pod"),
    ],
)
def test_a_lie_gains_nothing_and_harms_nobody(lie: str, truth: str) -> None:
    liars = tuple(CASES[lie].liars)
    lying, honest = np.mean(shares(lie, liars), axis=0), np.mean(shares(truth, liars), axis=0)
    assert honest[0] - lying[0] <= MOST_POINTS, "gained"
    assert lying[1] - honest[1] <= MOST_POINTS, "harmed"


def test_dummy_traffic_is_served_as_demand_of_that_size() -> None:
    """Two clients with the same arrivals: one needs only half of what it sends, which nobody can see."""
    found = []
    for seed in range(SEEDS):
        tokens = arrivals(seed)
        tokens[:, LIAR] = tokens[:, LIAR + 1]
        names = [f"a/c{column}" for column in range(len(RATES))]
        figures = served(policy(float(tokens.sum()) / SECONDS / LOAD), tokens, names, seed, {}, [])
        found.append([late(*figures, [column]) for column in (LIAR, LIAR + 1)])
    dummies, needed = np.mean(found, axis=0)
    assert abs(dummies - needed) <= MOST_POINTS
