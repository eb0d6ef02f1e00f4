"""A model seen through the square root, which evens out the noise of counts."""

from dataclasses import dataclass, field
from math import sqrt

from forefill_sidecar.forecast.mean_reversion import MeanReversion


@dataclass(slots=True)
class SquareRoot:
    """Mean reversion of the square roots, squared again: robust to bursts, and nearer the median than the mean."""

    roots: MeanReversion = field(default_factory=MeanReversion)

    def observe(self, value: float) -> None:
        self.roots.observe(sqrt(value))

    def skip(self, windows: int) -> None:
        self.roots.skip(windows)

    def forecast(self, horizon: int) -> list[float]:
        return [root * root for root in self.roots.forecast(horizon)]
