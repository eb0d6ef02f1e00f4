"""What a weekday and a weekend day usually bring, a quarter of an hour at a time."""

from dataclasses import dataclass, field

from forefill_sidecar.forecast.season import DAY_SECONDS, Season

SLOTS = 96
DAY_MEMORY = 0.5
RESIDUAL_PACE = 0.3


@dataclass(slots=True)
class Slots:
    """Mean and number of values of each slot of one kind of day."""

    means: list[float] = field(default_factory=lambda: [0.0] * SLOTS)
    seen: list[int] = field(default_factory=lambda: [0] * SLOTS)


@dataclass(slots=True)
class DayProfile:
    """The profile's mean for the hour, plus how far demand has recently been from it.

    One visit of a slot moves its mean by half (DAY_MEMORY). A slot never visited stands in with the long-run level,
    or with its twin on the other kind of day.
    """

    season: Season = field(default_factory=Season)
    weekday: Slots = field(default_factory=Slots)
    weekend: Slots = field(default_factory=Slots)
    level: float = 0.0
    residual: float = 0.0
    seen: int = 0

    def observe(self, value: float) -> None:
        self.seen += 1
        error = value - self.expected(0) if self.seen > 1 else 0.0
        self.residual += RESIDUAL_PACE * (error - self.residual)
        pace = 1.0 - DAY_MEMORY ** (self.season.interval_seconds * SLOTS / DAY_SECONDS)
        self.level += max(pace / SLOTS, 1.0 / self.seen) * (value - self.level)
        slots, slot = self._slots(0), self.season.slot(SLOTS)
        slots.seen[slot] += 1
        slots.means[slot] += max(pace, 1.0 / slots.seen[slot]) * (value - slots.means[slot])

    def inherit(self, level: float, weekday: list[float], weekend: list[float]) -> None:
        """Begin with the days of others: SLOTS factors of `level` each, or none."""
        self.level = level
        for slots, factors in ((self.weekday, weekday), (self.weekend, weekend)):
            if len(factors) == SLOTS:
                slots.means, slots.seen = [level * factor for factor in factors], [1] * SLOTS

    def skip(self, windows: int) -> None:
        """How far demand was from its profile is soon forgotten."""
        self.residual *= (1.0 - RESIDUAL_PACE) ** windows

    def expected(self, ahead: int) -> float:
        """The profile's mean for the window `ahead` of the present one."""
        slot = self.season.slot(SLOTS, ahead)
        own = self._slots(ahead)
        for slots in (own, self.weekday if own is self.weekend else self.weekend):
            if slots.seen[slot]:
                return slots.means[slot]
        return self.level

    def _slots(self, ahead: int) -> Slots:
        return self.weekend if self.season.weekend(ahead) else self.weekday

    def forecast(self, horizon: int) -> list[float]:
        return [max(0.0, self.expected(ahead) + self.residual) for ahead in range(horizon)]
