"""How much of what was declared came true, by who declared it. Pure and bounded."""

import math
from dataclasses import dataclass, field
from typing import Any, Final

# Of demand that wavers a part looks like what was declared. Up to the first share nothing is believed, from the second
# on everything.
CHANCE: Final = 0.25
KEPT: Final = 0.75
# A declaration makes older ones of its name fade by this share, and by no more tokens than it has itself: small true
# ones do not make up for a large false one.
FADING: Final = 0.4
MOST_NAMES: Final = 32


@dataclass(slots=True)
class Score:
    """Tokens of past declarations and of what came of them, older ones counting less."""

    declared: float
    came: float

    @property
    def kept(self) -> float:
        return self.came / self.declared if self.declared > 0.0 else 1.0

    def share(self) -> float:
        """How far the next is believed, between 0 and 1."""
        return min(max((self.kept - CHANCE) / (KEPT - CHANCE), 0.0), 1.0)


@dataclass(slots=True)
class Reliability:
    """Names cost nothing, so a new one is believed as far as all others of this pod together; the first in full."""

    scores: dict[str, Score] = field(default_factory=dict)

    def of(self, name: str, first: float = 1.0, due: float = 0.0, came: float = 0.0) -> float:
        """Between 0 and 1: what to multiply this name's declarations with.

        `came` tokens of `due` have arrived of declarations that are not over; a new name's past counts for `first`.
        """
        score = self.scores.get(name) or self._newcomer(first)
        return Score(score.declared + due, score.came + came).share() if due else score.share()

    def overall(self) -> float:
        """Of everybody's declarations together."""
        return self._everybody().share()

    def learn(self, name: str, declared: float, came: float, first: float | None = None) -> None:
        """A declaration is over: `came` of `declared` tokens arrived. The name heard of longest ago makes room."""
        score = self.scores.pop(name, None) or self._newcomer(declared if first is None else first)
        kept = 1.0 - min(FADING, declared / score.declared) if score.declared > 0.0 else 1.0
        score.declared = kept * score.declared + declared
        score.came = kept * score.came + min(came, declared)
        self.scores[name] = score
        if len(self.scores) > MOST_NAMES:
            del self.scores[next(iter(self.scores))]

    def _everybody(self) -> Score:
        scores = self.scores.values()
        return Score(sum(each.declared for each in scores), sum(each.came for each in scores))

    def _newcomer(self, tokens: float) -> Score:
        return Score(tokens, tokens * self._everybody().kept)

    def encode(self) -> Any:
        return [[name, score.declared, score.came] for name, score in self.scores.items()]

    @classmethod
    def decode(cls, plain: Any) -> "Reliability":
        """ValueError when it is not a list of names, each with two finite amounts."""
        if not isinstance(plain, list) or len(plain) > MOST_NAMES or not all(_sound(entry) for entry in plain):
            raise ValueError(f"the reliabilities are not a list of at most {MOST_NAMES} names with two amounts")
        return cls({name: Score(float(declared), float(came)) for name, declared, came in plain})


def _sound(entry: Any) -> bool:
    if not isinstance(entry, list) or len(entry) != 3 or not isinstance(entry[0], str):
        return False
    amounts = all(isinstance(each, int | float) and math.isfinite(each) for each in entry[1:])
    return amounts and 0.0 <= entry[2] <= entry[1]
