"""How fast a process grows: a line through its resident bytes by least squares, with an honest interval. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, inf, sqrt
from typing import Literal, NamedTuple

# Samples near each other tell the same: so many means of neighbours are what the line is drawn through.
BLOCKS = 12
# Student's t, two-sided 95 %, for BLOCKS - 2 degrees of freedom.
_T = 2.228
# Growth that a process may have in a run and still be called flat: a week of it is less than the process itself.
FLAT_BYTES_PER_HOUR = 200_000.0
# What a process takes while it warms up says nothing of what it takes for good.
SHORTEST_SECONDS = 900.0

Verdict = Literal["flat", "growing", "too short to tell"]


class Sample(NamedTuple):
    at: float
    value: float


@dataclass(frozen=True)
class Slope:
    """Units of the samples a second, over so many; the truth lies from `low` to `high` in 95 of 100 runs."""

    mean: float
    low: float
    high: float
    seconds: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """Of bytes and seconds."""
        if self.seconds < SHORTEST_SECONDS:
            return "too short to tell"
        limit = FLAT_BYTES_PER_HOUR / 3600
        if self.high <= limit:
            return "flat"
        return "growing" if self.low > limit else "too short to tell"


def slope(samples: Sequence[Sample]) -> Slope:
    """Of samples at rising times. Fewer than one for each block tell nothing."""
    if len(samples) < BLOCKS:
        return Slope(0.0, -inf, inf)
    blocks = [_mean(samples[len(samples) * i // BLOCKS : len(samples) * (i + 1) // BLOCKS]) for i in range(BLOCKS)]
    middle = _mean(blocks)
    spread = fsum((block.at - middle.at) ** 2 for block in blocks)
    mean = fsum((block.at - middle.at) * (block.value - middle.value) for block in blocks) / spread
    rest = fsum((block.value - middle.value - mean * (block.at - middle.at)) ** 2 for block in blocks)
    margin = _T * sqrt(rest / (BLOCKS - 2) / spread)
    return Slope(mean, mean - margin, mean + margin, samples[-1].at - samples[0].at)


def _mean(samples: Sequence[Sample]) -> Sample:
    count = len(samples)
    return Sample(fsum(sample.at for sample in samples) / count, fsum(sample.value for sample in samples) / count)
