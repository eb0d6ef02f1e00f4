"""One quantile of a stream in five numbers: the P-square algorithm (Jain and Chlamtac 1985)."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class StreamingQuantile:
    """Estimates the `tau` quantile, 0 < tau < 1. Exact for the first five values.

    `heights` are the values at five markers, `positions` how many values lie at or below each.
    """

    tau: float
    heights: list[float] = field(default_factory=lambda: [0.0] * 5)
    positions: list[int] = field(default_factory=lambda: [1, 2, 3, 4, 5])
    count: int = 0

    def observe(self, value: float) -> None:
        self.count += 1
        if self.count <= 5:
            self.heights[self.count - 1] = value
            if self.count == 5:
                self.heights.sort()
            return
        for marker in range(self._cell(value) + 1, 5):
            self.positions[marker] += 1
        for marker in (1, 2, 3):
            self._settle(marker)

    def _cell(self, value: float) -> int:
        """Between which markers `value` falls; the outer ones move to hold it."""
        if value < self.heights[0]:
            self.heights[0] = value
            return 0
        if value >= self.heights[4]:
            self.heights[4] = value
            return 3
        return next(marker for marker in range(4) if value < self.heights[marker + 1])

    def _settle(self, marker: int) -> None:
        """Move a marker by one place towards where its share of the count is."""
        shares = (0.0, 0.5 * self.tau, self.tau, 0.5 * (1.0 + self.tau), 1.0)
        off = 1.0 + (self.count - 1) * shares[marker] - self.positions[marker]
        before, here, after = self.positions[marker - 1 : marker + 2]
        if (off >= 1.0 and after - here > 1) or (off <= -1.0 and here - before > 1):
            step = 1 if off > 0.0 else -1
            parabola = self._parabola(marker, step)
            inside = self.heights[marker - 1] < parabola < self.heights[marker + 1]
            self.heights[marker] = parabola if inside else self._line(marker, step)
            self.positions[marker] += step

    def _parabola(self, marker: int, step: int) -> float:
        low, here, high = self.heights[marker - 1 : marker + 2]
        before, at, after = self.positions[marker - 1 : marker + 2]
        rise = (at - before + step) * (high - here) / (after - at)
        fall = (after - at - step) * (here - low) / (at - before)
        return here + step * (rise + fall) / (after - before)

    def _line(self, marker: int, step: int) -> float:
        run = self.positions[marker + step] - self.positions[marker]
        return self.heights[marker] + step * (self.heights[marker + step] - self.heights[marker]) / run

    def value(self) -> float:
        """The estimate; 0 before the first value."""
        if self.count >= 5:
            return self.heights[2]
        known = sorted(self.heights[: self.count])
        return known[min(self.count - 1, int(self.tau * self.count))] if known else 0.0
