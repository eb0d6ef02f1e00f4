"""What a resource loses when regions divide it beforehand: one policy for all clients beside one for each region."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench.simulate import servegen

from forefill_lab.simulator.demand import demand
from forefill_lab.simulator.policies import constant
from forefill_lab.simulator.simulate import Simulation

COUNTS = (1, 2, 6)
LOADS, SEED, HOURS = (0.85,), 1, 0.5


@dataclass(frozen=True, slots=True)
class Divided:
    """Shares of all tokens: not served at once, and dropped after too long a wait."""

    regions: int
    load: float
    late: float
    dropped: float


def measure(data: Path) -> list[Divided]:
    """Every client of ServeGen in one region; each region's part of max is its mean demand's of the whole."""
    paths = servegen.clients(data)
    return [_divided(paths, load, count) for load in LOADS for count in COUNTS]


def _divided(paths: Sequence[Path], load: float, count: int) -> Divided:
    work = servegen.workload(paths, load, HOURS, SEED)
    tokens, names = work.demand.tokens, work.demand.clients
    served = tokens[servegen.WARM_UP_SECONDS :]
    means = served.mean(axis=0)
    rate = float(means.sum()) / load
    # The largest first, in turn, so that regions are about as large as each other.
    order = np.argsort(-means, kind="stable")
    late = dropped = offered = 0.0
    for region in range(count):
        columns = order[region::count]
        part = rate * float(means[columns].sum() / means.sum())
        mine = demand(tokens[:, columns], 1.0, [names[column] for column in columns])
        simulation = Simulation(constant(part), mine, "forefill", seed=SEED, warm_up=servegen.WARM_UP_SECONDS)
        for _ in simulation.run():
            pass
        totals = simulation.recorder.totals("forefill")
        late += totals.late_share * totals.offered
        dropped += totals.dropped
        offered += totals.offered
    return Divided(count, load, late / offered, dropped / offered)


def table(found: Sequence[Divided]) -> list[str]:
    return [
        "| load | policies that divide max by need | late | dropped |",
        "| ---: | ---: | ---: | ---: |",
        *(f"| {each.load:.0%} | {each.regions} | {each.late:.2%} | {each.dropped:.2%} |" for each in found),
    ]
