"""How much there is to hand out, over time. Pure."""

from bisect import bisect_right
from collections.abc import Sequence


class Capacity:
    """`rates[i]`, tokens/s, from `times[i]` on; the first holds before its time, too."""

    def __init__(self, rates: Sequence[float], times: Sequence[float] = (0.0,)) -> None:
        self.rates = list(rates)
        self.times = list(times)

    def __call__(self, now: float) -> float:
        return self.rates[max(0, bisect_right(self.times, now + 1e-9) - 1)]

    def largest_within(self, start: float, end: float) -> float:
        """The largest that holds at some moment from `start` to `end`."""
        return max(
            [self(start), *(rate for time, rate in zip(self.times, self.rates, strict=True) if start < time <= end)]
        )
