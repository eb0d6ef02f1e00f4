"""How far a client's forecast is believed against the operator's shadow forecast, by what both turned out to be worth.

Two kinds of evidence count, each only beyond its own chance: the client's loss exceeds the shadow's, and its mean
leans away from demand where the shadow's does not. Both are paired: what no forecast could know falls out.
"""

from math import sqrt
from typing import NamedTuple, Protocol

from forefill_operator.shadow import Shadow

# The excess of losses is a decaying mean; errors that keep their sign speed it up, so that a drift is seen sooner.
PACE, HASTE = 0.03, 2.0
LEAN_PACE = 0.1
SKILL_PACE = 0.02
# Excess over the shadow's loss that costs no trust, and how much more costs all of it.
TOLERATED, RANGE = 0.05, 0.2
# The same of the lean, in shares of what active windows bring: medians of skewed demand lie that far below its mean.
TOLERATED_LEAN, LEAN_RANGE = 0.1, 0.08
# Standard errors that are taken for chance.
CHANCE, LEAN_CHANCE = 1.25, 1.0
RECOVERY = 0.02
# A window counts when the client offered more than this share of its usual demand.
ACTIVE = 0.1
# A loss below this share of the usual demand is as good as none.
LEAST_LOSS = 0.03
# No single window counts more than this many usual losses, once these are settled.
MOST_LOSSES, MOST_SIZES, SETTLED = 4.0, 8.0, 20
NEWCOMER_WINDOWS = 30
TINY = 1e-12


class Told(Protocol):
    """What was forecast of one window, tokens/s: a forecast as it came, or several weighed together."""

    @property
    def mean(self) -> float: ...
    @property
    def p90(self) -> float: ...
    @property
    def p95(self) -> float: ...


class Claim(NamedTuple):
    """What was forecast of one window, tokens/s."""

    mean: float
    p90: float
    p95: float


def loss(mean: float, p90: float, p95: float, rate: float) -> float:
    """Mean pinball loss of the mean at .5, p90 at .9 and p95 at .95: all that a plan uses of a forecast is scored."""
    middle = 0.5 * (rate - mean if rate > mean else mean - rate)
    high = 0.9 * (rate - p90) if rate > p90 else 0.1 * (p90 - rate)
    higher = 0.95 * (rate - p95) if rate > p95 else 0.05 * (p95 - rate)
    return (middle + high + higher) / 3.0


class Trust:
    """`value` in [0, 1]; `scored` active windows. Losses and leans are tokens/s, `first_skill` is what is expected.

    `excess` is the client's loss less the shadow's, `variance` that of one window's; `lean` and `shadow_lean` are mean
    errors, `square` the shadow's mean squared error, `demand` the mean of what was offered.
    """

    __slots__ = (
        "client_loss",
        "demand",
        "excess",
        "first_skill",
        "lean",
        "scored",
        "shadow_lean",
        "shadow_loss",
        "square",
        "value",
        "variance",
    )

    def __init__(self, value: float = 1.0, first_skill: float = 0.0) -> None:
        self.value = value
        self.first_skill = first_skill
        self.scored = 0
        self.client_loss = self.shadow_loss = self.excess = self.variance = 0.0
        self.lean = self.shadow_lean = self.square = self.demand = 0.0

    def score(self, claim: Told, shadow: Shadow, rate: float) -> None:
        """One window that offered `rate`, tokens/s, and what was forecast of it. Windows of rest do not count."""
        usual = shadow.usual
        if rate <= ACTIVE * usual:
            return
        self.scored += 1
        floor = LEAST_LOSS * usual + TINY
        excess = self._follow_losses(claim, shadow, rate, floor)
        lean = self._follow_leans(claim.mean, shadow, rate, usual)
        deserved = 1.0 - max((excess - TOLERATED) / RANGE, (lean - TOLERATED_LEAN) / LEAN_RANGE)
        recovered = self.value + RECOVERY
        self.value = min(max(deserved, 0.0), recovered, 1.0)

    def _follow_losses(self, claim: Told, shadow: Shadow, rate: float, floor: float) -> float:
        """The excess beyond chance, in shares of the shadow's loss."""
        theirs = loss(claim.mean, claim.p90, claim.p95, rate)
        ours = loss(shadow.mean, shadow.p90, shadow.p95, rate)
        if self.scored == 1:
            self.shadow_loss, self.client_loss = ours, (1.0 - self.first_skill) * ours
        if self.scored > SETTLED:
            most = MOST_LOSSES * (self.shadow_loss if self.shadow_loss > floor else floor)
            ours = ours if ours < most else most
            theirs = theirs if theirs < most else most
        pace = SKILL_PACE if SKILL_PACE * self.scored > 1.0 else 1.0 / self.scored
        self.client_loss += pace * (theirs - self.client_loss)
        self.shadow_loss += pace * (ours - self.shadow_loss)
        excess, variance = self.excess, self.variance
        haste = excess / (sqrt(variance + excess * excess) + TINY) if excess > 0.0 else 0.0
        pace = PACE * (1.0 + HASTE * haste)
        off = theirs - ours - excess
        self.variance += pace * (off * off - variance)
        self.excess += pace * off
        chance = CHANCE * sqrt(self.variance * pace / (2.0 - pace))
        base = self.shadow_loss if self.shadow_loss > floor else floor
        return (self.excess - chance + self.shadow_loss - base) / base

    def _follow_leans(self, mean: float, shadow: Shadow, rate: float, usual: float) -> float:
        """How much farther the client's mean leans than the shadow's, beyond chance, in shares of the demand.

        The demand is that of the active windows, where it is more than usual: every forecast of a client that mostly
        rests lies below it there, and by how many times the usual demand is chance.
        """
        least = 2.0 * LEAST_LOSS * usual
        most = MOST_SIZES * (shadow.size if shadow.size > least else least)
        theirs, ours = rate - mean, rate - shadow.mean
        theirs = -most if theirs < -most else theirs if theirs < most else most
        ours = -most if ours < -most else ours if ours < most else most
        self.lean += LEAN_PACE * (theirs - self.lean)
        self.shadow_lean += LEAN_PACE * (ours - self.shadow_lean)
        self.square += LEAN_PACE * (ours * ours - self.square)
        self.demand += (LEAN_PACE if LEAN_PACE * self.scored > 1.0 else 1.0 / self.scored) * (rate - self.demand)
        chance = LEAN_CHANCE * sqrt(self.square * LEAN_PACE / (2.0 - LEAN_PACE))
        demand = self.demand if self.demand > usual else usual
        return (abs(self.lean) - abs(self.shadow_lean) - chance) / demand if demand > TINY else 0.0

    @property
    def is_newcomer(self) -> bool:
        return self.scored < NEWCOMER_WINDOWS

    @property
    def skill(self) -> float:
        """1 - the client's loss over the shadow's: above 0 it forecasts better than the operator could."""
        return 1.0 - self.client_loss / self.shadow_loss if self.shadow_loss > 0.0 else self.first_skill

    def pardon(self) -> None:
        """Forget the evidence against the client; its skill stays."""
        self.value = 1.0
        self.excess = self.lean = self.shadow_lean = 0.0

    def sentence(self, usual: float) -> str:
        """Why the forecast is not believed."""
        times = self.client_loss / self.shadow_loss if self.shadow_loss > 0.0 else 1.0
        lean = -self.lean / usual if usual > 0.0 else 0.0
        return (
            f"its forecasts cost {times:.2f} times what the operator's own would have, "
            f"and its mean was {lean:+.0%} of its usual demand off"
        )
