"""Holt's linear trend, damped (Gardner and McKenzie 1985)."""

from dataclasses import dataclass


@dataclass(slots=True)
class DampedHolt:
    """A level and a trend that fades by `phi` a window, so that a long horizon does not run away."""

    alpha: float = 0.3
    beta: float = 0.1
    phi: float = 0.9
    level: float = 0.0
    trend: float = 0.0
    seen: int = 0

    def observe(self, value: float) -> None:
        self.seen += 1
        if self.seen == 1:
            self.level = value
            return
        expected = self.level + self.phi * self.trend
        level = expected + self.alpha * (value - expected)
        self.trend = self.beta * (level - self.level) + (1.0 - self.beta) * self.phi * self.trend
        self.level = level

    def skip(self, windows: int) -> None:
        """A trend does not outlive a gap."""
        self.trend *= self.phi**windows

    def forecast(self, horizon: int) -> list[float]:
        means, step, mean = [], self.trend, self.level
        for _ in range(horizon):
            step *= self.phi
            mean += step
            means.append(mean if mean > 0.0 else 0.0)
        return means
