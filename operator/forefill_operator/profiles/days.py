"""What one pod of a workload usually offers on a weekday and on a weekend day, a quarter of an hour at a time."""

from math import fsum
from typing import Annotated

from msgspec import Meta, Struct, field

from forefill_operator.profiles.calendar import SLOTS, Quarter

# A slot's newest day counts as much as all the earlier ones together.
DAY_MEMORY = 0.5
# No factor of the level exceeds this: it would say more of a level near zero than of a day.
MOST_FACTOR = 1000.0


SLOTTED = Meta(min_length=SLOTS, max_length=SLOTS)
Amounts = Annotated[list[Annotated[float, Meta(ge=0.0, le=1e300)]], SLOTTED]


def _zeros() -> list[float]:
    return [0.0] * SLOTS


class Day(Struct):
    """By slot: tokens offered, seconds in which one pod offered them (two pods: twice the time), and the last day."""

    tokens: Amounts = field(default_factory=_zeros)
    seconds: Amounts = field(default_factory=_zeros)
    newest: Annotated[list[int], SLOTTED] = field(default_factory=lambda: [0] * SLOTS)

    def add(self, quarter: Quarter, tokens: float, seconds: float) -> None:
        slot = quarter.slot
        if self.newest[slot] != quarter.day:
            self.newest[slot] = quarter.day
            self.tokens[slot] *= DAY_MEMORY
            self.seconds[slot] *= DAY_MEMORY
        self.tokens[slot] += tokens
        self.seconds[slot] += seconds


class Days(Struct):
    """Both kinds of day; a step is O(1)."""

    weekday: Day = field(default_factory=Day)
    weekend: Day = field(default_factory=Day)

    def add(self, quarter: Quarter, tokens: float, seconds: float) -> None:
        """One pod offered so many tokens in so many seconds."""
        (self.weekend if quarter.is_weekend else self.weekday).add(quarter, tokens, seconds)

    @property
    def seconds(self) -> float:
        """How long pods were watched, older days fading."""
        return fsum(self.weekday.seconds) + fsum(self.weekend.seconds)

    def level(self) -> float:
        """The mean of one pod over all that is known of a day, every slot alike, tokens/s."""
        means = [mean for slot in range(SLOTS) if (mean := self._mean(self.weekday, slot)) is not None]
        return fsum(means) / len(means) if means else 0.0

    def factors(self, level: float) -> tuple[list[float], list[float]]:
        """Of a weekday and of a weekend day: each slot's mean over `level`; both empty while nothing is known.

        A slot that was never seen is taken from the other kind of day, else to be at the level.
        """
        if level <= 0.0:
            return [], []
        return self._factors(self.weekday, level), self._factors(self.weekend, level)

    def _factors(self, day: Day, level: float) -> list[float]:
        means = [self._mean(day, slot) for slot in range(SLOTS)]
        return [1.0 if mean is None else min(mean / level, MOST_FACTOR) for mean in means]

    def _mean(self, day: Day, slot: int) -> float | None:
        other = self.weekday if day is self.weekend else self.weekend
        for each in (day, other):
            if each.seconds[slot] > 0.0:
                return each.tokens[slot] / each.seconds[slot]
        return None
