"""Simple exponential smoothing (Brown 1956)."""

from dataclasses import dataclass


@dataclass(slots=True)
class SimpleSmoothing:
    """A level that moves by `alpha` of each error. Until 1/alpha values are in, it is their plain mean."""

    alpha: float = 0.3
    level: float = 0.0
    seen: int = 0

    def observe(self, value: float) -> None:
        self.seen += 1
        self.level += max(self.alpha, 1.0 / self.seen) * (value - self.level)

    def skip(self, windows: int) -> None:
        pass

    def forecast(self, horizon: int) -> list[float]:
        return [self.level] * horizon
