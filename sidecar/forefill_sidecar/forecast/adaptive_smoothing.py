"""Exponential smoothing whose pace follows its own errors (Trigg and Leach 1967)."""

from dataclasses import dataclass


@dataclass(slots=True)
class AdaptiveSmoothing:
    """Moves by |smoothed error| / smoothed |error|: slowly while errors cancel, fast while they agree in sign."""

    beta: float = 0.2
    level: float = 0.0
    error: float = 0.0
    size: float = 0.0
    seen: int = 0

    def observe(self, value: float) -> None:
        self.seen += 1
        error = value - self.level
        if self.seen == 1:
            self.level = value
            return
        self.error += self.beta * (error - self.error)
        self.size += self.beta * (abs(error) - self.size)
        if self.size > 0.0:
            self.level += min(1.0, abs(self.error) / self.size) * error

    def skip(self, windows: int) -> None:
        pass

    def forecast(self, horizon: int) -> list[float]:
        return [self.level] * horizon
