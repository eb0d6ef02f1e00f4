"""The three clients' demand: extracts of real traces, sped up, and the arrivals that follow. Pure, but for `read`."""

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources

# Gaps that vary less are all the same; the shape of their distribution would be too large for a float.
SMALLEST_VARIATION = 1e-3


@dataclass(frozen=True, slots=True)
class Trace:
    """One client's trace: a row each `step_seconds` of its own time, played `speed` times faster from row `first` on.

    `scale` turns requests/s of the file into requests/s of the demo. After its last row it begins again.
    """

    name: str
    shape: str
    step_seconds: float
    speed: float
    first: int
    scale: float

    @property
    def row_seconds(self) -> float:
        """How long one row lasts in the demo."""
        return self.step_seconds / self.speed


@dataclass(frozen=True, slots=True)
class Row:
    """Requests/s, and the coefficient of variation of the gaps between requests; 0 where the rate counts arrivals."""

    rate: float
    variation: float


CLIENTS = (
    Trace("chat", "questions to a language model", step_seconds=1.0, speed=10.0, first=740, scale=10.0),
    Trace("shop", "web requests, one surge", step_seconds=8.0, speed=80.0, first=98, scale=0.3),
    Trace("jobs", "scheduled jobs, on and off", step_seconds=600.0, speed=1800.0, first=53, scale=3.2),
)


def read(name: str) -> list[Row]:
    """The rows of one of the extracts beside this module."""
    text = resources.files(__package__).joinpath("data", f"{name}.csv").read_text()
    return [Row(float(row["rate"]), float(row["variation"])) for row in csv.DictReader(text.splitlines())]


def arrivals(trace: Trace, rows: Sequence[Row], begin: float, end: float, seed: int) -> list[float]:
    """When requests are due, in seconds from `begin` to before `end`; the same for the same seed.

    A renewal process on the time scale in which the rate is 1, with gamma gaps of the row's variation: Poisson at 1,
    evenly spread at 0.
    """
    source = random.Random(f"{trace.name} {seed}")
    times: list[float] = []
    left = _gap(source, _row(trace, rows, 0).variation) / 2
    for index, (at, until) in enumerate(_steps(trace.row_seconds, begin, end)):
        row = _row(trace, rows, index)
        rate = row.rate * trace.scale
        while rate > 0.0 and at + left / rate < until:
            at += left / rate
            times.append(at)
            left = _gap(source, row.variation)
        left -= (until - at) * rate
    return times


def _steps(row_seconds: float, begin: float, end: float) -> Iterator[tuple[float, float]]:
    index = 0
    while (at := begin + index * row_seconds) < end:
        yield at, min(at + row_seconds, end)
        index += 1


def _row(trace: Trace, rows: Sequence[Row], index: int) -> Row:
    return rows[(trace.first + index) % len(rows)]


def _gap(source: random.Random, variation: float) -> float:
    """A gap of mean 1."""
    if variation < SMALLEST_VARIATION:
        return 1.0
    shape = 1.0 / variation**2
    return source.gammavariate(shape, 1.0 / shape)
