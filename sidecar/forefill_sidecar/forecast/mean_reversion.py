"""First-order autoregression around a slow mean, its coefficient estimated online."""

from dataclasses import dataclass

LOWEST, HIGHEST = -0.5, 0.99


@dataclass(slots=True)
class MeanReversion:
    """Forecasts level + phi^h * (last value - level): a deviation fades as fast as past ones did.

    The level is an exponential mean of pace `alpha`; phi is the lag-one autocorrelation of the deviations from it,
    over moments that decay by `decay` a window.
    """

    alpha: float = 0.1
    decay: float = 0.99
    level: float = 0.0
    deviation: float = 0.0
    product: float = 0.0
    square: float = 0.0
    seen: int = 0

    def observe(self, value: float) -> None:
        self.seen += 1
        self.level += max(self.alpha, 1.0 / self.seen) * (value - self.level)
        before, self.deviation = self.deviation, value - self.level
        self.product = self.decay * self.product + (1.0 - self.decay) * before * self.deviation
        self.square = self.decay * self.square + (1.0 - self.decay) * before * before

    def skip(self, windows: int) -> None:
        """The deviation fades during a gap as the model says."""
        self.deviation *= self.phi() ** windows if windows else 1.0

    def phi(self) -> float:
        if self.square <= 0.0:
            return 0.0
        return min(HIGHEST, max(LOWEST, self.product / self.square))

    def forecast(self, horizon: int) -> list[float]:
        phi, level, deviation, means = self.phi(), self.level, self.deviation, []
        for _ in range(horizon):
            deviation *= phi
            mean = level + deviation
            means.append(mean if mean > 0.0 else 0.0)
        return means
