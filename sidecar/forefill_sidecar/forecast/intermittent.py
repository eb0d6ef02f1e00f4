"""Intermittent demand: how often and how much, smoothed apart (Teunter, Syntetos and Babai 2011)."""

from dataclasses import dataclass


@dataclass(slots=True)
class Intermittent:
    """TSB: the chance that a window is not empty, times the size of one that is not."""

    alpha: float = 0.1
    beta: float = 0.1
    chance: float = 0.0
    size: float = 0.0
    seen: int = 0
    filled: int = 0

    def observe(self, value: float) -> None:
        self.seen += 1
        self.chance += max(self.alpha, 1.0 / self.seen) * (float(value > 0.0) - self.chance)
        if value > 0.0:
            self.filled += 1
            self.size += max(self.beta, 1.0 / self.filled) * (value - self.size)

    def skip(self, windows: int) -> None:
        pass

    def forecast(self, horizon: int) -> list[float]:
        return [self.chance * self.size] * horizon
