"""The last windows of one pod, and what it had forecast of each. Pure; at most 139 kB."""

from array import array
from math import isnan, nan
from typing import NamedTuple

# Two days of windows of ten seconds.
WINDOWS = 17_280


class Stretch(NamedTuple):
    """Windows in their order, tokens/s: NaN where nobody measured, or where nothing was forecast."""

    rates: "array[float]"
    told: "array[float]"


class History:
    """A ring; adding a window is O(1)."""

    __slots__ = ("_next", "_rates", "_told", "_windows")

    def __init__(self, windows: int = WINDOWS) -> None:
        self._windows = windows
        self._rates, self._told = array("f"), array("f")
        self._next = 0

    def __len__(self) -> int:
        return len(self._rates)

    def add(self, rate: float, told: float = nan) -> None:
        if len(self._rates) < self._windows:
            self._rates.append(rate)
            self._told.append(told)
            return
        self._rates[self._next], self._told[self._next] = rate, told
        self._next = (self._next + 1) % self._windows

    def skip(self, windows: int) -> None:
        """So many windows passed that nobody measured. A gap before the first window is none."""
        for _ in range(min(windows, self._windows) if self._rates else 0):
            self.add(nan)

    def ordered(self) -> Stretch:
        """Everything, the oldest first."""
        at = self._next
        return Stretch(self._rates[at:] + self._rates[:at], self._told[at:] + self._told[:at])

    def recent(self, most: int) -> list[float]:
        """The newest windows without a gap among them, the newest last."""
        rates: list[float] = []
        for back in range(1, min(most, len(self._rates)) + 1):
            rate = self._rates[(self._next - back) % len(self._rates)]
            if isnan(rate):
                break
            rates.append(rate)
        return rates[::-1]
