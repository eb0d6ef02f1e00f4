"""Work that is known beforehand: nightly jobs beside steady clients, declared a minute before, or not at all."""

from collections.abc import Callable, Iterator

import numpy as np
from bench.simulate import pairs, scenes

from forefill_lab.simulator.demand import Demand
from forefill_lab.simulator.expect import Declaration
from forefill_lab.simulator.policies import constant
from forefill_lab.simulator.simulate import Simulation

STEADY, BATCH, SECONDS, WARM_UP, LOAD = 12, 4, 1200, 240, 0.75
JOB_SECONDS, KNOWN_BEFORE = 25, 60.0

# Controllers, and whether they are told.
COLUMNS = {
    "max-min": ("max-min", False),
    "ewma": ("ewma", False),
    "forefill, nothing declared": ("forefill", False),
    "forefill, declared": ("forefill", True),
    "oracle": ("oracle", False),
    "central": ("central", False),
}


def workload(seed: int) -> tuple[Demand, list[Declaration]]:
    """Steady Poisson clients of 5/s; each batch client runs a job of 20/s every two or three minutes."""
    chance = np.random.default_rng(seed)
    tokens = np.zeros((SECONDS, STEADY + BATCH))
    tokens[:, :STEADY] = chance.poisson(5.0, (SECONDS, STEADY))
    declarations = []
    for client in range(STEADY, STEADY + BATCH):
        at = int(chance.integers(60, 180))
        while at + JOB_SECONDS < SECONDS:
            tokens[at : at + JOB_SECONDS, client] = chance.poisson(20.0, JOB_SECONDS)
            declarations.append(
                Declaration(max(0.0, at - KNOWN_BEFORE), client, float(at), float(JOB_SECONDS), 20.0 * JOB_SECONDS)
            )
            at += int(chance.integers(120, 180))
    return scenes.named(tokens), declarations


def table(seeds: int, say: Callable[[str], None]) -> Iterator[str]:
    late: dict[str, list[float]] = {name: [] for name in COLUMNS}
    waits: dict[str, list[float]] = {name: [] for name in COLUMNS}
    for seed in range(seeds):
        wanted, declarations = workload(seed)
        capacity = float(wanted.tokens.sum()) / SECONDS / LOAD
        for name, (controller, is_told) in COLUMNS.items():
            told = declarations if is_told else []
            simulation = Simulation(
                constant(capacity), wanted, controller, declarations=told, seed=seed, warm_up=WARM_UP
            )
            for _ in simulation.run():
                pass
            totals = simulation.recorder.totals(name)
            late[name].append(totals.late_share)
            waits[name].append(totals.mean_wait_seconds)
            say(f"declared seed {seed} {name}: late {totals.late_share:.4f}")
    yield "| controller | late | mean wait | gap from EWMA to central closed: late | wait |"
    yield "|---|---|---|---|---|"
    for name in COLUMNS:
        parts = [pairs.closed(figure["ewma"], figure[name], figure["central"]) for figure in (late, waits)]
        closed = ["-" if name == "ewma" else f"{part:.0%} ± {half:.0%}" for part, half in parts]
        yield (
            f"| {name} | {pairs.mean(late[name]):.2%} ± {pairs.half_width(late[name]):.2%} "
            f"| {pairs.mean(waits[name]):.3f} s | {closed[0]} | {closed[1]} |"
        )
