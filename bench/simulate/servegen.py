"""Demand of the ServeGen clients, second by second, and a resource that is as large as the load wants it."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench.forecast import series
from numpy.typing import NDArray

from forefill_lab.simulator.capacity import Capacity
from forefill_lab.simulator.demand import Demand, demand

DAY = 8
# Files of m-small whose mean over the fourteen days exceeds LEAST_RATE, by the number in their name.
LEAST_RATE = 0.05
WARM_UP_SECONDS = 1200
BLOCK_SECONDS = 600
HALF_HOUR = 1800


@dataclass(frozen=True)
class Workload:
    """`capacity(t)` is the mean demand of the hour around the ten minutes that t lies in, divided by the load."""

    demand: Demand
    capacity: Capacity


def workload(paths: Sequence[Path], load: float, hours: float, seed: int, scale: float = 1.0) -> Workload:
    """Seed s takes the hours from 2 s o'clock on, and arrivals of its own."""
    seconds = WARM_UP_SECONDS + int(hours * 3600)
    begin = (2 * seed % 24) * 3600 + DAY * series.DAY_SECONDS - WARM_UP_SECONDS
    counts = [_counts(path, begin - HALF_HOUR, seconds + 2 * HALF_HOUR, seed, scale) for path in paths]
    table = np.stack(counts, axis=1)
    total = np.concatenate([[0.0], np.cumsum(table.sum(axis=1))])
    times = list(range(0, seconds, BLOCK_SECONDS))
    centres = [HALF_HOUR + time + BLOCK_SECONDS // 2 for time in times]
    rates = [float(total[c + HALF_HOUR] - total[c - HALF_HOUR]) / (2 * HALF_HOUR) / load for c in centres]
    names = [path.stem.split("-")[1] for path in paths]
    return Workload(
        demand(table[HALF_HOUR : HALF_HOUR + seconds], 1.0, names), Capacity(rates, [float(time) for time in times])
    )


def clients(data: Path) -> list[Path]:
    """The files of all clients with a mean over LEAST_RATE."""
    return [path for path in series.servegen_clients(data) if _mean_rate(path) > LEAST_RATE]


def _mean_rate(path: Path) -> float:
    rates = [float(row[1]) for row in _rows(path)]
    return sum(rates) / len(rates)


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as lines:
        return [row for row in csv.reader(lines) if row and row[0].replace(".", "", 1).isdigit()]


def _counts(path: Path, begin: int, seconds: int, seed: int, scale: float) -> NDArray[np.float64]:
    """Requests a second from `begin` on, which is seconds since the start of the file."""
    generator = np.random.default_rng([seed, int(path.stem.split("-")[1])])
    values = np.zeros(seconds)
    for row in _rows(path):
        start = float(row[0]) - begin
        if -series.BLOCK_SECONDS < start < seconds:
            row[1] = str(scale * float(row[1]))
            times = (start + series.arrivals(row, generator)).astype(int)
            values += np.bincount(times[(times >= 0) & (times < seconds)], minlength=seconds)
    return values
