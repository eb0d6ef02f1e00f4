"""Simple smoothing that starts over when demand has moved to another level."""

from dataclasses import dataclass

SIZE_PACE = 0.03
SIZE_CLIP = 4.0


@dataclass(slots=True)
class ShiftSmoothing:
    """A plain mean since the last shift, and from 1/alpha windows on an exponential one.

    A shift is two errors in a row of one sign and each beyond `threshold` times the usual size; the mean then starts
    again from these two values.
    """

    alpha: float = 0.05
    threshold: float = 2.0
    level: float = 0.0
    size: float = 0.0
    suspect: float = 0.0
    last: float = 0.0
    since_shift: int = 0
    seen: int = 0

    def observe(self, value: float) -> None:
        self.seen += 1
        error = value - self.level
        large = self.seen > 1 and abs(error) > self.threshold * self.size
        if large and self.suspect * error > 0.0:
            self.level, self.since_shift, self.suspect = 0.5 * (value + self.last), 2, 0.0
        else:
            self.since_shift += 1
            self.level += max(self.alpha, 1.0 / self.since_shift) * error
            self.suspect = error if large else 0.0
        if self.seen > 1:
            clipped = min(abs(error), SIZE_CLIP * self.size) if self.size > 0.0 else abs(error)
            self.size += max(SIZE_PACE, 1.0 / self.seen) * (clipped - self.size)
        self.last = value

    def skip(self, windows: int) -> None:
        """What was suspected before a gap is not confirmed after it."""
        if windows:
            self.suspect = 0.0

    def forecast(self, horizon: int) -> list[float]:
        return [self.level] * horizon
