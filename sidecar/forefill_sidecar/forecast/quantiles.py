"""Quantiles of forecast errors and their drift, tracked online for one horizon.

Each offset moves by step * (tau - [error <= offset]): the proportional part of conformal PID control (Angelopoulos,
Candes and Tibshirani 2023), which keeps coverage at tau in the long run for any errors. Errors are divided by their
usual size, so that one step suits quiet and busy clients. Sizes grow with the square root of the demand that is
forecast, as the noise of counts does.
"""

from dataclasses import dataclass, field
from math import inf, sqrt

LEVELS = (0.05, 0.5, 0.9, 0.95)
# Errors of demand are skewed and have heavier tails than normal ones: typical offsets, in mean absolute errors.
TYPICAL = (-1.9, -0.05, 1.65, 2.45)
FIRST_STEP, STEP, SETTLING = 0.1, 0.03, 100.0
SLOW_PACE, QUICK_PACE, QUICK_SHARE = 0.01, 0.3, 0.3
LEAST_RATIO, MOST_RATIO = 0.25, 4.0
IDLE = 1e-3
DRIFT_PACE, DRIFT_TOLERANCE = 0.002, 0.1


def growth(point: float, level: float) -> float:
    """How much larger errors are at `point` than at the recent level of demand."""
    if level <= 0.0:
        return 1.0
    ratio = point / level
    return sqrt(MOST_RATIO if ratio > MOST_RATIO else ratio if ratio > LEAST_RATIO else LEAST_RATIO)


@dataclass(slots=True)
class ErrorQuantiles:
    """Offsets from a point forecast in the order of LEVELS, in units of the error size at hand.

    While demand rests, at zero or at any exact value, errors vanish and teach nothing of busy hours: offsets sleep,
    and the size wakes up as it was.
    """

    offsets: list[float] = field(default_factory=lambda: list(TYPICAL))
    slow: float = 0.0
    quick: float = 0.0
    awake: float = 0.0
    asleep: bool = False
    drift: float = 0.0
    spread: float = 0.0
    seen: int = 0

    def size(self, growth: float) -> float:
        """The mean absolute error to expect: mostly of the last hundred windows, partly of the last three."""
        return (self.slow + QUICK_SHARE * (self.quick - self.slow)) * growth

    def observe(self, point: float, growth: float, size: float, actual: float) -> None:
        """Take what was forecast for a window (with the growth and size then at hand) and what it brought."""
        error = actual - point
        amount = error if error >= 0.0 else -error
        asleep = amount <= IDLE * self.awake
        if self.asleep and not asleep:
            self.slow = max(self.slow, self.awake)
        elif size > 0.0 and not asleep:
            self._move(error / size)
        self.asleep = asleep
        self.seen += 1
        start = 1.0 / self.seen
        share = amount / growth
        slow_pace = SLOW_PACE if start < SLOW_PACE else start
        self.slow += slow_pace * (share - self.slow)
        self.quick += (QUICK_PACE if start < QUICK_PACE else start) * (share - self.quick)
        if not asleep:
            self.awake += slow_pace * (share - self.awake)
        drift_pace = DRIFT_PACE if start < DRIFT_PACE else start
        self.drift += drift_pace * (error - self.drift)
        self.spread += drift_pace * (amount - self.spread)

    def _move(self, scaled: float) -> None:
        step = STEP + (FIRST_STEP - STEP) / (1.0 + self.seen / SETTLING)
        moved, least = [], -inf
        for offset, tau in zip(self.offsets, LEVELS, strict=True):
            offset += step * (tau - 1.0 if scaled <= offset else tau)
            least = offset if offset > least else least
            moved.append(least)
        self.offsets = moved

    def around(self, point: float, size: float) -> list[float]:
        """The value at each of LEVELS, ordered and >= 0."""
        values = [point + offset * size for offset in self.offsets]
        return [value if value > 0.0 else 0.0 for value in values]

    def correction(self, level: float) -> float:
        """What to add to the point for a mean: the drift, less what is chance (two standard errors) or tolerable.

        A point that minimises the absolute error leans to the median; means are added up over clients, so theirs
        may lean by a tenth of the level and no more.
        """
        pace = 1.0 / self.seen if self.seen else 1.0
        chance = 2.0 * self.spread * sqrt(0.5 * (pace if pace > DRIFT_PACE else DRIFT_PACE))
        allowed = DRIFT_TOLERANCE * level + chance
        if self.drift > allowed:
            return self.drift - allowed
        under = self.drift + allowed
        return under if under < 0.0 else 0.0
