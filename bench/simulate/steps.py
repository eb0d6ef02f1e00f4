"""How soon the rate is there after a client's demand has doubled, told beforehand or not."""

from collections.abc import Iterator

import numpy as np
from bench.simulate.policies import policy

from forefill_lab.simulator.demand import Demand, demand
from forefill_lab.simulator.expect import Declaration
from forefill_lab.simulator.simulate import Simulation
from forefill_operator import allocation

CAPACITY = 400.0
STEP_AT, SECONDS, TICK = 300, 360, 0.25
CLIENTS = 20


def shape(share: float, load: float, phase: float) -> Demand:
    """One client asks for `share` of what all want and doubles; the others share the rest equally and stay."""
    total = load * CAPACITY
    rates = np.array([share * total] + [(1 - share) * total / (CLIENTS - 1)] * (CLIENTS - 1))
    ticks = int(SECONDS / TICK)
    chance = np.random.default_rng(int(1000 * phase) + 1)
    tokens = chance.poisson(rates * TICK, (ticks, CLIENTS)).astype(float)
    first = int((STEP_AT + phase) / TICK)
    tokens[first:, 0] = chance.poisson(2 * rates[0] * TICK, ticks - first)
    return demand(tokens, TICK, [f"c{index}" for index in range(CLIENTS)])


def seconds_to_share(controller: str, share: float, load: float, phase: float, told: bool) -> float:
    """Seconds from the step until the client's rate is 95 % of its new fair share for good within its window.

    Told beforehand: the declaration is made a minute before; 0 then means that the rate was there.
    """
    wanted = shape(share, load, phase)
    at, extra = STEP_AT + phase, share * load * CAPACITY
    declarations = [Declaration(at - 60.0, 0, at, float(SECONDS - at), extra * (SECONDS - at))] if told else []
    demands = [2 * extra] + [(1 - share) * load * CAPACITY / (CLIENTS - 1)] * (CLIENTS - 1)
    fair = allocation.split(CAPACITY, [allocation.Claim(rate) for rate in demands])[0]
    enough = 0.95 * min(fair, 2 * extra)
    simulation = Simulation(policy(CAPACITY), wanted, controller, declarations=declarations)
    for tick in simulation.run():
        now = (tick + 1) * TICK
        if now >= at and simulation.running.granted(0) >= enough:
            return max(0.0, now - TICK - at)
    return float("inf")


def table(controllers: list[str], phases: list[float]) -> Iterator[str]:
    yield (
        "| step x2 of a client with | load | told | "
        + " | ".join(f"{name}: mean | worst" for name in controllers)
        + " |"
    )
    yield "|---|---|---|" + "---|---|" * len(controllers)
    for share in (0.1, 0.3):
        for load in (0.70, 0.85):
            for told in (False, True):
                cells = []
                for name in controllers:
                    found = [seconds_to_share(name, share, load, phase, told) for phase in phases]
                    cells.append(f"{sum(found) / len(found):.1f} s | {max(found):.1f} s")
                word = "a minute before" if told else "no"
                yield f"| {share:.0%} of the demand | {load:g} | {word} | " + " | ".join(cells) + " |"
