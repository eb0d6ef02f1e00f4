"""The loop with a resource that has a load: demand above what it is good for, retries, a metric that comes late."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from bench.simulate import scenes

from forefill_lab.simulator.controllers.fleet import Fleet
from forefill_lab.simulator.policies import constant
from forefill_lab.simulator.simulate import Simulation
from forefill_operator.load.readings import Reading
from forefill_operator.load.tracker import Tracker

GOOD_FOR, DEMAND, CLIENTS, SECONDS, SETTLED = 300.0, 380.0, 6, 1200, 600
HIGH = 0.85
# Half of what is refused comes again, three seconds later.
RETRIED, RETRY_TICKS = 0.5, 3
# What a signal says that does not show the load.
IDLE = 0.1


@dataclass(frozen=True)
class Settling:
    """Loads after SETTLED seconds: mean, largest less smallest as a part of the mean, deviation as a part of it."""

    mean: float
    peak_to_peak: float
    deviation: float
    over_high: float


def settling(delay_intervals: int, noise: float, hidden: bool) -> Settling:
    """`hidden`: only one of the three signals shows the load, so that their mean does not."""
    tokens = np.full((SECONDS + RETRY_TICKS + 1, CLIENTS), DEMAND / CLIENTS)
    limits = constant(600.0, fillRate={"base": 50, "min": 20, "max": 600, "surplus": "Lend"}, weights={"load": -100.0})
    simulation = Simulation(limits, scenes.named(tokens), "forefill")
    fleet = simulation.running
    assert isinstance(fleet, Fleet)
    chance = np.random.default_rng(delay_intervals)
    tracker = Tracker(limits.spec.load.stale_after_seconds, limits.spec.thresholds.load.low)
    under_way: deque[float] = deque([0.0] * (delay_intervals + 1), delay_intervals + 1)
    interval = int(limits.spec.report.interval_seconds)
    window, loads = 0.0, []
    for tick in simulation.run():
        if tick >= SECONDS:
            break
        window += simulation.recorder.served
        again = sum(fleet.flow(client).dropped for client in range(CLIENTS))
        tokens[tick + RETRY_TICKS] += RETRIED * again / CLIENTS
        if (tick + 1) % interval == 0 and fleet.operator is not None:
            load, window = min(1.0, window / interval / GOOD_FOR), 0.0
            under_way.append(min(1.0, max(0.0, load + noise * chance.standard_normal())))
            rest = Reading(IDLE if hidden else under_way[0])
            now = simulation.timeline.now
            tracker.observe({"cpu": Reading(under_way[0]), "memory": rest, "network": rest}, now)
            fleet.operator.set_load(limits.key, tracker.load(now))
            if tick >= SETTLED:
                loads.append(load)
    mean = float(np.mean(loads))
    return Settling(
        mean, (max(loads) - min(loads)) / mean, float(np.std(loads)) / mean, float(np.mean([x > HIGH for x in loads]))
    )


def table() -> Iterator[str]:
    yield "| metric delay, intervals | noise | signals | load | peak to peak | deviation | intervals over high |"
    yield "|---|---|---|---|---|---|---|"
    for noise, hidden in ((0.0, False), (0.02, False), (0.0, True)):
        for delay in range(4):
            found = settling(delay, noise, hidden)
            signals = "one of three" if hidden else "all three"
            yield (
                f"| {delay} | {noise:g} | {signals} | {found.mean:.3f} | {found.peak_to_peak:.1%} "
                f"| {found.deviation:.2%} | {found.over_high:.0%} |"
            )
