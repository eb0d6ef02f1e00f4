"""Holt-Winters smoothing with a damped trend and an additive day (Winters 1960)."""

from dataclasses import dataclass, field

from forefill_sidecar.forecast.season import DAY_SECONDS, Season

MINUTES = 1440


@dataclass(slots=True)
class HoltWinters:
    """A level, a trend that fades by `phi`, and one seasonal value a minute of the day, or a window if longer."""

    season: Season = field(default_factory=Season)
    alpha: float = 0.1
    beta: float = 0.01
    gamma: float = 0.3
    phi: float = 0.9
    level: float = 0.0
    trend: float = 0.0
    seasonal: list[float] = field(default_factory=list)
    seen: int = 0

    def __post_init__(self) -> None:
        slots = max(1, min(MINUTES, round(DAY_SECONDS / self.season.interval_seconds)))
        self.seasonal = [0.0] * slots

    def observe(self, value: float) -> None:
        self.seen += 1
        slot = self.season.slot(len(self.seasonal))
        if self.seen == 1:
            self.level = value
            return
        expected = self.level + self.phi * self.trend
        level = expected + self.alpha * (value - self.seasonal[slot] - expected)
        self.trend = self.beta * (level - self.level) + (1.0 - self.beta) * self.phi * self.trend
        self.seasonal[slot] += self.gamma * (value - level - self.seasonal[slot])
        self.level = level

    def inherit(self, level: float, factors: list[float]) -> None:
        """Begin with the day of others: equal parts of it as factors of `level`."""
        self.level, self.seen, slots = level, 1, len(self.seasonal)
        self.seasonal = [level * (factors[slot * len(factors) // slots] - 1.0) for slot in range(slots)]

    def skip(self, windows: int) -> None:
        self.trend *= self.phi**windows

    def forecast(self, horizon: int) -> list[float]:
        means, step, level = [], self.trend, self.level
        for ahead in range(horizon):
            step *= self.phi
            level += step
            slot = self.season.slot(len(self.seasonal), ahead)
            means.append(max(0.0, level + self.seasonal[slot]))
        return means
