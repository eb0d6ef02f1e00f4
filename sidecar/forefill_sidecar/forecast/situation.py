"""In which of five situations a client is: experts that are right in one may be wrong in another."""

from dataclasses import dataclass

SHOCK = 4.0
AWAY = 2.5
PACE, SLOW_PACE, SIZE_PACE = 0.3, 0.01, 0.03
FELL, ROSE, USUAL, HIGH, LOW = range(5)
COUNT = 5


@dataclass(slots=True)
class Situation:
    """FELL or ROSE right after a value SHOCK error sizes off the recent level, else where that level lies.

    HIGH and LOW are AWAY error sizes from the long-term mean, USUAL is between.
    """

    present: int = USUAL
    level: float = 0.0
    slow: float = 0.0
    size: float = 0.0
    seen: int = 0

    def observe(self, value: float) -> None:
        self.seen += 1
        start = 1.0 / self.seen
        error = value - self.level if self.seen > 1 else 0.0
        shock = SHOCK * self.size
        self.level += max(PACE, start) * (value - self.level)
        self.slow += max(SLOW_PACE, start) * (value - self.slow)
        self.size += max(SIZE_PACE, start) * (abs(error) - self.size)
        if abs(error) > shock:
            self.present = ROSE if error > 0.0 else FELL
        else:
            self.present = self._calm(self.level - self.slow)

    def _calm(self, away: float) -> int:
        if abs(away) <= AWAY * self.size:
            return USUAL
        return HIGH if away > 0.0 else LOW
