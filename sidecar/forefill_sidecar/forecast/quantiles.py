"""Quantiles of forecast errors, tracked online for one horizon.

Each level q moves by step * (tau - [error < q]): the proportional part of conformal PID control
(Angelopoulos, Candes and Tibshirani 2023), which keeps coverage at tau in the long run for any errors.
Errors are divided by their own recent size, so that one step suits quiet and busy clients.
"""

from dataclasses import dataclass, field

LEVELS = (0.05, 0.5, 0.9, 0.95)
STEP = 0.05
SCALE_DECAY = 0.97
NORMAL = (-1.645, 0.0, 1.282, 1.645)
MEAN_TO_DEVIATION = 0.8


@dataclass(slots=True)
class ResidualQuantiles:
    """Offsets from the mean at LEVELS, in units of the smoothed absolute error `scale`."""

    scale: float = 0.0
    seen: int = 0
    offsets: list[float] = field(default_factory=lambda: [x / MEAN_TO_DEVIATION for x in NORMAL])

    def observe(self, error: float) -> None:
        """Take actual minus mean of a window that closed."""
        if self.scale > 0.0:
            scaled = error / self.scale
            for i, tau in enumerate(LEVELS):
                self.offsets[i] += STEP * (tau - 1.0 if scaled < self.offsets[i] else tau)
            self.offsets.sort()
        self.seen += 1
        self.scale += max(1.0 - SCALE_DECAY, 1.0 / self.seen) * (abs(error) - self.scale)

    def around(self, mean: float) -> list[float]:
        """The value at each of LEVELS, ordered and >= 0."""
        return [max(0.0, mean + offset * self.scale) for offset in self.offsets]
