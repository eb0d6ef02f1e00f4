"""How far a client's forecast is believed against the operator's shadow forecast, by what both were worth."""

from typing import NamedTuple

DECAY, SKILL_DECAY = 0.9, 0.98
# Trust is whole while the client's loss is at most this multiple of the shadow's, and gone this far beyond it.
TOLERATED, RANGE = 1.05, 0.3
RECOVERY = 0.02
# A window counts when the client offered more than this share of its usual demand.
ACTIVE = 0.1
# A loss below this share of the usual demand is as good as none.
LEAST_LOSS = 0.01
NEWCOMER_WINDOWS = 30


class Claim(NamedTuple):
    """What was forecast of one window, tokens/s."""

    mean: float
    p90: float
    p95: float


def loss(claim: Claim, rate: float) -> float:
    """Mean pinball loss of the mean at .5, p90 at .9 and p95 at .95: all that a plan uses of a forecast is scored."""
    mean, p90, p95 = claim
    middle = 0.5 * (rate - mean if rate > mean else mean - rate)
    high = 0.9 * (rate - p90) if rate > p90 else 0.1 * (p90 - rate)
    higher = 0.95 * (rate - p95) if rate > p95 else 0.05 * (p95 - rate)
    return (middle + high + higher) / 3.0


class Trust:
    """`value` in [0, 1]; losses are tokens/s, decaying means over active windows: quick for trust, slow for skill."""

    __slots__ = ("client", "scored", "shadow", "slow_client", "slow_shadow", "value")

    def __init__(self, value: float = 1.0) -> None:
        self.value = value
        self.client = self.shadow = self.slow_client = self.slow_shadow = 0.0
        self.scored = 0

    def score(self, client: Claim, shadow: Claim, rate: float, usual: float) -> None:
        """One window that offered `rate` by a client that usually offers `usual`, tokens/s; idle ones do not count."""
        if rate <= ACTIVE * usual:
            return
        ours, theirs = loss(shadow, rate), loss(client, rate)
        if self.scored == 0:
            self.client = self.shadow = self.slow_client = self.slow_shadow = ours
        self.scored += 1
        self.client += (1.0 - DECAY) * (theirs - self.client)
        self.shadow += (1.0 - DECAY) * (ours - self.shadow)
        pace = max(1.0 - SKILL_DECAY, 1.0 / self.scored)
        self.slow_client += pace * (theirs - self.slow_client)
        self.slow_shadow += pace * (ours - self.slow_shadow)
        excess = (self.client / max(self.shadow, LEAST_LOSS * usual) - TOLERATED) / RANGE
        deserved = min(max(1.0 - excess, 0.0), 1.0)
        self.value = min(deserved, self.value + RECOVERY)

    @property
    def is_newcomer(self) -> bool:
        return self.scored < NEWCOMER_WINDOWS

    @property
    def skill(self) -> float:
        """1 - the client's loss over the shadow's: above 0 it forecasts better than the operator could."""
        return 1.0 - self.slow_client / self.slow_shadow if self.slow_shadow > 0.0 else 0.0
