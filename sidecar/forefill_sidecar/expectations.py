"""Work that the pod's applications declared to come. Pure: `now` is monotonic seconds."""

from dataclasses import dataclass, field
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


@dataclass(slots=True)
class Expectations:
    """What was declared and is not over."""

    pending: list[Declared] = field(default_factory=list)

    def declare(self, now: float, after_seconds: float, for_seconds: float, tokens: float) -> bool:
        """Take one in; False when as many are pending as a report carries."""
        self._forget_past(now)
        if len(self.pending) >= MAX_PENDING:
            return False
        self.pending.append(Declared(now + after_seconds, for_seconds, tokens))
        return True

    def coming(self, now: float) -> list[Expectation]:
        """What a report sent at `now` carries, nearest first."""
        self._forget_past(now)
        return [declared.left(now) for declared in sorted(self.pending, key=lambda each: each.starts_at)]

    def _forget_past(self, now: float) -> None:
        self.pending = [each for each in self.pending if each.starts_at + each.for_seconds > now]
