"""A pod beside the pods of its workload: the load balancer before them deals out alike."""

from statistics import median
from typing import NamedTuple

FEWEST_PODS = 5
# Median absolute deviations to standard deviations of a normal distribution.
NORMAL = 1.4826
# Deviations below this share of the median are no deviation.
LEAST_DEVIATION = 0.1
# Windows in a row.
STRIKES = 3


class Apart(NamedTuple):
    """A pod unlike the others: above them or below, and the figures."""

    is_above: bool
    sentence: str


class Cohort:
    """The pods of one workload: the level of each, tokens/s, and how they lie, renewed once an interval."""

    __slots__ = ("_deviation", "_levels", "_median", "_renewed_at", "_strikes")

    def __init__(self) -> None:
        self._levels: dict[str, float] = {}
        self._strikes: dict[str, int] = {}
        self._median = self._deviation = 0.0
        self._renewed_at = float("-inf")

    def inspect(self, pod_uid: str, level: float, threshold: float, interval: float, now: float) -> Apart | None:
        """`level` is the pod's slow mean, tokens/s; `threshold` in robust standard deviations."""
        self._levels[pod_uid] = level
        if len(self._levels) < FEWEST_PODS:
            return None
        if now >= self._renewed_at + interval:
            self._renew(now)
        z = (level - self._median) / self._deviation if self._deviation > 0.0 else 0.0
        if abs(z) <= threshold:
            if self._strikes:
                self._strikes.pop(pod_uid, None)
            return None
        strikes = self._strikes[pod_uid] = self._strikes.get(pod_uid, 0) + 1
        if strikes < STRIKES:
            return None
        return Apart(
            z > 0.0,
            f"it asks for {level:.4g} tokens/s, the {len(self._levels)} pods of its workload for {self._median:.4g} "
            f"in the median: {abs(z):.1f} robust standard deviations {'above' if z > 0.0 else 'below'}",
        )

    def leave(self, pod_uid: str) -> None:
        self._levels.pop(pod_uid, None)
        self._strikes.pop(pod_uid, None)

    def __len__(self) -> int:
        return len(self._levels)

    def _renew(self, now: float) -> None:
        self._median = median(self._levels.values())
        spread = median(abs(level - self._median) for level in self._levels.values())
        self._deviation = max(NORMAL * spread, LEAST_DEVIATION * self._median)
        self._renewed_at = now
