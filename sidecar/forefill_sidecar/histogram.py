"""Quantiles of a stream in bounded memory: counts in geometric classes. Pure."""

from bisect import bisect_left
from dataclasses import dataclass, field
from math import exp, log

from forefill_protocol.messages import Spread

# Neighbouring classes differ by 5 %, so a quantile is off by at most 2.5 % of itself.
GROWTH = log(1.05)
SMALLEST, LARGEST = 1e-6, 1e12
# At most this many classes exist: log(1e18) / GROWTH and one for zero.
MAX_CLASSES = int(log(LARGEST / SMALLEST) / GROWTH) + 2


# Values are sorted into classes this many at a time, which costs less than one by one.
_BATCH = 512


@dataclass(slots=True)
class Histogram:
    """Values from 0 on; those under 1e-6 count as 0, those over 1e12 as 1e12."""

    count: int = 0
    total: float = 0.0
    _counts: dict[int, int] = field(default_factory=dict)
    _unsorted: list[float] = field(default_factory=list)
    # Sizes and costs mostly repeat the one before, which is cheaper to count than to keep.
    _latest: float = -1.0
    _repeats: int = 0

    def add(self, value: float) -> None:
        """Count one value."""
        if value == self._latest:
            self._repeats += 1
            return
        if self._repeats:
            self._count(self._latest, self._repeats)
            self._repeats = 0
        self._latest = value
        self._unsorted.append(value)
        if len(self._unsorted) >= _BATCH:
            self._sort()

    def _count(self, value: float, times: int) -> None:
        index = int(log(min(value, LARGEST) / SMALLEST) / GROWTH) + 1 if value > SMALLEST else 0
        self._counts[index] = self._counts.get(index, 0) + times
        self.count += times
        self.total += value * times

    def _sort(self) -> None:
        if self._repeats:
            self._count(self._latest, self._repeats)
            self._repeats = 0
        for value in self._unsorted:
            self._count(value, 1)
        self._unsorted.clear()

    def classes(self) -> dict[int, int]:
        """How many values each class holds."""
        self._sort()
        return self._counts

    def quantile(self, share: float) -> float:
        """The value that `share` of the values do not exceed; 0 without values."""
        counts = self.classes()
        wanted, seen = share * self.count, 0
        for index in sorted(counts):
            seen += counts[index]
            if seen >= wanted:
                return SMALLEST * exp((index - 0.5) * GROWTH) if index else 0.0
        return 0.0

    def spread(self) -> Spread | None:
        """Mean, median and 95th percentile; None without values."""
        self._sort()
        if not self.count:
            return None
        median = self.quantile(0.5)
        return Spread(self.total / self.count, median, self.quantile(0.95) if len(self._counts) > 1 else median)

    def close(self) -> Spread | None:
        """The spread of the values so far, which are forgotten."""
        if not self.count and not self._unsorted:
            return None
        spread = self.spread()
        self._counts.clear()
        self.count, self.total, self._latest = 0, 0.0, -1.0
        return spread


SECONDS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(slots=True)
class Distribution:
    """Counts at or below fixed bounds since the start, as Prometheus wants its histograms. The last count is +Inf's."""

    bounds: tuple[float, ...] = SECONDS_BOUNDS
    counts: list[int] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
