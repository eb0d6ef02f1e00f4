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
# So much of its first declaration weighs the trust that a new name begins with.
FIRST_SECONDS: Final = 10.0
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

    @property
    def first_tokens(self) -> float:
        """Of its first seconds."""
        return self.tokens * min(1.0, FIRST_SECONDS / self.for_seconds)

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
            self._replace(before, declared, now)
        elif len(self._ahead(now)) >= MAX_PENDING or len(self.pending) >= MAX_KEPT:
            return False
        self.pending.append(declared)
        if self.belief(now, by) > 0.0:
            self.news_at = min(self.news_at, declared.starts_at)
        return True

    def _replace(self, before: Declared, declared: Declared, now: float) -> None:
        """What had been due is judged when the rest is put off: nobody keeps a rate by promising anew."""
        self.pending.remove(before)
        due = before.between(-inf, now)
        if abs(declared.starts_at - before.starts_at) <= SAME_SECONDS:
            declared.came = min(before.came, declared.tokens)
        elif due > 0.0:
            self.reliability.learn(before.by, due, min(max(0.0, before.came), due), before.first_tokens)

    def coming(self, now: float) -> list[Expectation]:
        """What a report sent at `now` carries, nearest first, each as far as its declarer is believed."""
        if not self.pending:
            return []
        beliefs = self._beliefs(now)
        ahead = sorted(self._ahead(now), key=lambda each: each.starts_at)
        return [declared.left(now, beliefs[declared.by]) for declared in ahead if beliefs[declared.by] > 0.0]

    def belief(self, now: float, by: str) -> float:
        """How far the next declaration of this name is believed, between 0 and 1."""
        return self._beliefs(now).get(by, self.reliability.of(by))

    def _beliefs(self, now: float) -> dict[str, float]:
        """By name: the past counts, and what should have come by now of what is not judged yet."""
        owed: dict[str, tuple[float, float, float]] = {}
        for each in self.pending:
            first, due, came = owed.get(each.by, (each.first_tokens, 0.0, 0.0))
            part = each.between(-inf, now - LATE_SECONDS)
            owed[each.by] = first, due + part, came + min(max(each.came, 0.0), part)
        return {by: self.reliability.of(by, *parts) for by, parts in owed.items()}

    def _ahead(self, now: float) -> list[Declared]:
        return [each for each in self.pending if each.ends_at > now]

    def reported(self) -> None:
        """A report has carried everything."""
        self.news_at = inf

    def between(self, now: float, start: float, end: float) -> float:
        """Tokens expected from declarations in that time, as far as they are believed now."""
        if not self.pending:
            return 0.0
        beliefs = self._beliefs(now)
        return sum([beliefs[each.by] * each.between(start, end) for each in self.pending])

    def settle(self, now: float, surprise: float, chance: float = 0.0) -> float:
        """A window ended, in which `surprise` tokens came beyond the forecast: how many of them were declared.

        Only what was believed counts. Declarations that are over are judged by what came, one LATE_SECONDS after their
        end. What wavers must not pass for declared work: a surprise of up to `chance` is none, and a window
        that stayed below its forecast takes away from what came.
        """
        if not self.pending:
            return 0.0
        due = [(declared, declared.outstanding(now)) for declared in self.pending]
        outstanding = sum([tokens for _, tokens in due])
        came = min(surprise, outstanding) if not 0.0 < surprise <= chance else 0.0
        part = came / outstanding if outstanding > 0.0 else 0.0
        for declared, tokens in due:
            declared.came += part * tokens
        believed = sum([self.reliability.of(declared.by, declared.first_tokens) * tokens for declared, tokens in due])
        self._judge(now)
        return max(0.0, part * believed)

    def _judge(self, now: float) -> None:
        for declared in [each for each in self.pending if each.ends_at + LATE_SECONDS <= now]:
            self.pending.remove(declared)
            self.reliability.learn(declared.by, declared.tokens, max(0.0, declared.came), declared.first_tokens)

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
