"""Work that the application said would come. Pure: `now` is monotonic seconds."""

from dataclasses import dataclass, field
from math import inf
from typing import Final

from forefill_protocol.messages import Expectation

# As many as one report carries.
MAX_PENDING: Final = 32


@dataclass(frozen=True, slots=True)
class Declared:
    """`tokens` in all, spread evenly from `starts_at` on over `for_seconds`."""

    starts_at: float
    for_seconds: float
    tokens: float

    def left(self, now: float) -> Expectation:
        """What is still to come of it, counted from `now`."""
        begun = max(0.0, now - self.starts_at)
        left_seconds = max(0.0, self.for_seconds - begun)
        share = left_seconds / self.for_seconds if begun else 1.0
        return Expectation(
            after_seconds=max(0.0, self.starts_at - now), for_seconds=left_seconds, tokens=self.tokens * share
        )

    def between(self, start: float, end: float) -> float:
        """Tokens of it that fall into that time."""
        overlap = min(end, self.starts_at + self.for_seconds) - max(start, self.starts_at)
        return self.tokens * max(0.0, overlap) / self.for_seconds


@dataclass(slots=True)
class Expectations:
    """What was declared and is not over. `news_at` is when the first begins that no report has carried yet."""

    pending: list[Declared] = field(default_factory=list)
    news_at: float = inf

    def declare(self, now: float, after_seconds: float, for_seconds: float, tokens: float) -> bool:
        """Take one in; False when as many are pending as a report carries."""
        self._forget_past(now)
        if len(self.pending) >= MAX_PENDING:
            return False
        self.pending.append(Declared(now + after_seconds, for_seconds, tokens))
        self.news_at = min(self.news_at, now + after_seconds)
        return True

    def coming(self, now: float) -> list[Expectation]:
        """What a report sent at `now` carries, nearest first."""
        self._forget_past(now)
        return [declared.left(now) for declared in sorted(self.pending, key=lambda each: each.starts_at)]

    def reported(self) -> None:
        """A report has carried everything."""
        self.news_at = inf

    def between(self, start: float, end: float) -> float:
        """Tokens declared for that time, of what was not over when `coming` was last asked."""
        return sum([declared.between(start, end) for declared in self.pending]) if self.pending else 0.0

    def _forget_past(self, now: float) -> None:
        self.pending = [each for each in self.pending if each.starts_at + each.for_seconds > now]
