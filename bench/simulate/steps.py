"""How soon the rate is there after a client's demand has doubled, told beforehand or not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from forefill_lab.simulator.demand import Demand, demand
from forefill_lab.simulator.expect import Declaration
from forefill_lab.simulator.policies import constant
from forefill_lab.simulator.simulate import Simulation
from forefill_operator import allocation

CAPACITY = 400.0
STEP_AT, SECONDS, TICK = 200, 250, 0.25
CLIENTS = 20
CALM = 4.0


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


@dataclass(frozen=True)
class Reaction:
    """Seconds from the step until the rate is 95 % of the new fair share (max-min: no more than is asked for), and
    until the tokens served in CALM seconds are 95 % of it (or of what came in them, if that was less). 0: it was there
    when the step came.
    """

    rate: float
    served: float


def reaction(controller: str, share: float, load: float, phase: float, told: bool) -> Reaction:
    """Told beforehand: the declaration is made a minute before."""
    wanted = shape(share, load, phase)
    at, extra = STEP_AT + phase, share * load * CAPACITY
    declarations = [Declaration(at - 60.0, 0, at, float(SECONDS - at), extra * (SECONDS - at))] if told else []
    demands = [2 * extra] + [(1 - share) * load * CAPACITY / (CLIENTS - 1)] * (CLIENTS - 1)
    fair = min(allocation.split(CAPACITY, [allocation.Claim(rate) for rate in demands])[0], demands[0])
    simulation = Simulation(constant(CAPACITY), wanted, controller, declarations=declarations)
    first, served, rates = int(at / TICK), [0.0], []
    for tick in simulation.run():
        if tick >= first:
            rates.append(simulation.running.granted(0))
            served.append(simulation.recorder.on_time[0] + simulation.recorder.late[0])
    given = np.diff(served[1:])
    offered = wanted.tokens[first + 1 :, 0]
    calm = int(CALM / TICK)
    sums = [(float(given[i : i + calm].sum()), float(offered[i : i + calm].sum())) for i in range(len(given) - calm)]
    enough = [rate >= 0.95 * fair for rate in rates]
    fed = [got >= 0.95 * min(CALM * fair, asked) for got, asked in sums]
    return Reaction(_first(enough) * TICK, _first(fed) * TICK)


def _first(reached: Sequence[bool]) -> float:
    return reached.index(True) if True in reached else float("inf")


def table(controllers: Sequence[str], phases: Sequence[float]) -> Iterator[str]:
    yield "| step x2 of a client with | load | told | " + " | ".join(f"{n}: rate | served" for n in controllers) + " |"
    yield "|---|---|---|" + "---|---|" * len(controllers)
    for share in (0.1, 0.3):
        for load in (0.70, 0.85):
            for told in (False, True):
                cells = []
                for name in controllers:
                    found = [reaction(name, share, load, phase, told) for phase in phases]
                    cells.append(f"{_seconds([each.rate for each in found])} | {_seconds([e.served for e in found])}")
                word = "a minute before" if told else "no"
                yield f"| {share:.0%} of the demand | {load:g} | {word} | " + " | ".join(cells) + " |"


def _seconds(found: Sequence[float]) -> str:
    """Mean and worst."""
    return f"{sum(found) / len(found):.1f} ({max(found):.1f}) s"
