"""Invariant 4: whatever clients forecast, nobody waits much more than under a split that only looks back."""

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from forefill_lab.simulator.demand import Demand, demand
from forefill_lab.simulator.lies import Lie
from forefill_lab.simulator.policies import constant
from forefill_lab.simulator.simulate import Simulation

RATES = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
LOAD, WINDOW = 0.85, 10
WARM_UP, SECONDS = 60 * WINDOW, 900
MOST_POINTS = 2.0


def bursty(seed: int) -> Demand:
    """Rates that wander by half within minutes, and Poisson arrivals."""
    chance = np.random.default_rng(seed)
    seconds = WARM_UP + SECONDS
    levels = np.exp(chance.normal(0.0, 0.5, (seconds // 60 + 1, len(RATES)))).repeat(60, axis=0)[:seconds]
    return demand(chance.poisson(levels * RATES).astype(float), 1.0, [f"c{index}" for index in range(len(RATES))])


def late(controller: str, seed: int, lies: dict[int, Lie]) -> list[float]:
    """Percent of what each client offered that was not on time, and of all of it, the last."""
    wanted = bursty(seed)
    rate = float(wanted.tokens.sum()) / len(wanted.tokens) / LOAD
    simulation = Simulation(constant(rate), wanted, controller, lies=lies, seed=seed, warm_up=WARM_UP)
    for _ in simulation.run():
        pass
    figures = simulation.recorder
    offered = [*figures.offered, sum(figures.offered)]
    on_time = [*figures.on_time, sum(figures.on_time)]
    return [100.0 * (1.0 - served / asked) for asked, served in zip(offered, on_time, strict=True)]


@settings(max_examples=5, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    st.integers(0, 1000),
    st.lists(st.sampled_from([0.0, 0.5, 1.5, 3.0, 10.0]), min_size=len(RATES), max_size=len(RATES)),
)
def test_with_every_forecast_wrong_nobody_is_late_by_two_points_more_than_when_only_the_past_counts(
    seed: int, factors: list[float]
) -> None:
    reactive = late("ewma", seed, {})
    wrong = late("forefill", seed, {client: Lie("forecast", factor) for client, factor in enumerate(factors)})
    assert [
        round(ours - theirs, 2) for ours, theirs in zip(wrong, reactive, strict=True) if ours > theirs + MOST_POINTS
    ] == []
