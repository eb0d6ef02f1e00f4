"""The operator's own quantile of a policy's total demand, calibrated by what the totals turned out to be.

Quantiles of clients must never be added: their errors cancel. Means are added, and the error of the sum is tracked.
"""

from math import sqrt

from forefill_operator.spec import PredictionWeight

FIRST_OFFSET = 2.0
STEP, UNIT_PACE = 0.05, 0.05
COVERAGE_PACE = 0.01
WEIGHT_STEP = 0.01


class Aggregate:
    """`quantile` of the total is predicted. `coverage` is the share of intervals that stayed at or below it, `headroom`
    how far it lay above the mean in shares of it; both over about a hundred intervals.
    """

    def __init__(self, quantile: float = 0.95) -> None:
        self.quantile = quantile
        self.coverage = quantile
        self.headroom = 0.0
        self._offset = FIRST_OFFSET
        self._unit = 0.0
        self._seen = 0
        self._mean: float | None = None
        self._high = 0.0
        self._ratio: float | None = None
        self._ratios: tuple[float, float] | None = None

    def observe(self, offered_total: float, now: float) -> None:
        """Score the last prediction against the total that was offered in its interval, tokens/s."""
        self._follow_ratio(offered_total)
        if self._mean is None:
            return
        mean, self._mean = self._mean, None
        self._seen += 1
        start = 1.0 / self._seen
        root = sqrt(mean) or 1.0
        scaled = (offered_total - mean) / root
        if self._unit > 0.0:
            covered = offered_total <= self._high
            self._offset += STEP * (self.quantile - covered)
            self.coverage += max(COVERAGE_PACE, start) * (covered - self.coverage)
            if mean > 0.0:
                self.headroom += max(COVERAGE_PACE, start) * ((self._high - mean) / mean - self.headroom)
        self._unit += max(UNIT_PACE, start) * (abs(scaled) - self._unit)

    def predict(self, mean_total: float) -> float:
        """The calibrated quantile of the coming interval's total, for a sum of clients' means; tokens/s."""
        self._mean = mean_total
        self._high = max(mean_total + self._offset * self._unit * (sqrt(mean_total) or 1.0), 0.0)
        return self._high

    def weight(self, base: float, predicted_total: float, bounds: PredictionWeight) -> float:
        """The tracked quantile of (offered - base) / predicted, inside its bounds: what a predicted token counts."""
        self._ratios = (base, predicted_total)
        if self._ratio is None:
            self._ratio = bounds.initial
        self._ratio = min(max(self._ratio, bounds.min), bounds.max)
        return self._ratio

    def _follow_ratio(self, offered_total: float) -> None:
        if self._ratios is None or self._ratio is None:
            return
        (base, predicted), self._ratios = self._ratios, None
        if predicted > 0.0:
            short = (offered_total - base) / predicted > self._ratio
            self._ratio += WEIGHT_STEP * (self.quantile if short else self.quantile - 1.0)
