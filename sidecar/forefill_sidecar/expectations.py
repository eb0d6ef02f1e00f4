"""Work that the application said would come, and how much of it did. Pure: `now` is monotonic seconds."""

from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

import msgspec

from forefill_protocol.messages import Expectation
from forefill_sidecar.reliability import Reliability

# As many as one report carries.
MAX_PENDING: Final = 32
# Those not judged yet included.
MAX_KEPT: Final = 2 * MAX_PENDING
# Said again within this of the same beginning, the same work is meant.
SAME_SECONDS: Final = 1.0
# Work may come this much later than declared and still counts as declared.
LATE_SECONDS: Final = 10.0
# What nobody has settled by then never is: nobody counts windows.
FORGOTTEN_SECONDS: Final = 60.0


@dataclass(slots=True)
class Declared:
    """`tokens` in all, spread evenly from `starts_at` on over `for_seconds`; `came` of them were seen.

    `id` tells declarations apart (empty: by what they say), `by` is whose reliability counts.
    """

    starts_at: float
    for_seconds: float
    tokens: float
    id: str = ""
    by: str = ""
    came: float = 0.0

    @property
    def ends_at(self) -> float:
        return self.starts_at + self.for_seconds

    def left(self, now: float, weight: float) -> Expectation:
        """What is still to come of it, counted from `now`."""
        left_seconds = max(0.0, self.for_seconds - max(0.0, now - self.starts_at))
        return Expectation(
            after_seconds=max(0.0, self.starts_at - now),
            for_seconds=left_seconds,
            tokens=weight * self.tokens * left_seconds / self.for_seconds,
        )

    def between(self, start: float, end: float) -> float:
        """Tokens of it that fall into that time."""
        return self.tokens * max(0.0, min(end, self.ends_at) - max(start, self.starts_at)) / self.for_seconds

    def outstanding(self, now: float) -> float:
        """What should have come by `now` and was not seen."""
        return max(0.0, self.between(-inf, now) - self.came)

    def is_as(self, other: "Declared") -> bool:
        if self.id or other.id:
            return self.id == other.id
        alike = (self.tokens, self.for_seconds, self.by) == (other.tokens, other.for_seconds, other.by)
        return alike and abs(self.starts_at - other.starts_at) <= SAME_SECONDS


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    """A declaration in a file: `after` seconds from when it was written."""

    after: float
    for_seconds: float
    tokens: float
    id: str
    by: str
    came: float


@dataclass(slots=True)
class Expectations:
    """What was declared and is not over. `news_at` is when the first begins that no report has carried yet."""

    pending: list[Declared] = field(default_factory=list)
    reliability: Reliability = field(default_factory=Reliability)
    news_at: float = inf

    def declare(
        self, now: float, after_seconds: float, for_seconds: float, tokens: float, id: str = "", by: str = ""
    ) -> bool:
        """Take one in, in the place of the same said before; False when as many are pending as a report carries."""
        declared = Declared(now + after_seconds, for_seconds, tokens, id, by)
        self.pending = [each for each in self.pending if each.ends_at + FORGOTTEN_SECONDS > now]
        before = next((each for each in self.pending if declared.is_as(each)), None)
        if before:
            self.pending.remove(before)
            declared.came = min(before.came, tokens)
        elif len(self._ahead(now)) >= MAX_PENDING or len(self.pending) >= MAX_KEPT:
            return False
        self.pending.append(declared)
        self.news_at = min(self.news_at, declared.starts_at)
        return True

    def coming(self, now: float) -> list[Expectation]:
        """What a report sent at `now` carries, nearest first, each as far as its declarer is believed."""
        if not self.pending:
            return []
        ahead = sorted(self._ahead(now), key=lambda each: each.starts_at)
        return [declared.left(now, self.reliability.of(declared.by)) for declared in ahead]

    def _ahead(self, now: float) -> list[Declared]:
        return [each for each in self.pending if each.ends_at > now]

    def reported(self) -> None:
        """A report has carried everything."""
        self.news_at = inf

    def between(self, start: float, end: float) -> float:
        """Tokens expected from declarations in that time."""
        if not self.pending:
            return 0.0
        return sum([self.reliability.of(each.by) * each.between(start, end) for each in self.pending])

    def settle(self, now: float, surprise: float) -> float:
        """A window ended, in which `surprise` tokens came beyond the forecast: how many of them were declared.

        Declarations that are over are judged by what came, one LATE_SECONDS after their end. A window that stayed below
        its forecast takes away from it: what wavers must not pass for declared work.
        """
        if not self.pending:
            return 0.0
        due = [(declared, declared.outstanding(now)) for declared in self.pending]
        outstanding = sum([tokens for _, tokens in due])
        came = min(surprise, outstanding)
        for declared, tokens in due:
            declared.came += came * tokens / outstanding if outstanding > 0.0 else 0.0
        self._judge(now)
        return max(0.0, came)

    def _judge(self, now: float) -> None:
        for declared in [each for each in self.pending if each.ends_at + LATE_SECONDS <= now]:
            self.pending.remove(declared)
            self.reliability.learn(declared.by, declared.tokens, max(0.0, declared.came))

    def encode(self, now: float) -> Any:
        """As plain values for a file."""
        kept = [_Kept(d.starts_at - now, d.for_seconds, d.tokens, d.id, d.by, d.came) for d in self.pending]
        return {"pending": msgspec.to_builtins(kept), "reliability": self.reliability.encode()}

    def decode(self, plain: Any, now: float, age_seconds: float) -> None:
        """Go on from what `encode` gave so long ago. ValueError, and nothing changed, when it is something else."""
        if not isinstance(plain, dict):
            raise ValueError("what was declared is not a map")
        reliability = Reliability.decode(plain.get("reliability"))
        kept = msgspec.convert(plain.get("pending"), list[_Kept])
        begun = now - age_seconds
        self.reliability = reliability
        self.pending = [Declared(begun + k.after, k.for_seconds, k.tokens, k.id, k.by, k.came) for k in kept[:MAX_KEPT]]
