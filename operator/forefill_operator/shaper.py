"""What all clients of a policy ask for together, and what the target is by it. Pure: `now` is given."""

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from forefill_operator import shaping
from forefill_operator.aggregate import Aggregate
from forefill_operator.exact import total
from forefill_operator.policy import TokenPolicy
from forefill_operator.roster import Roster
from forefill_operator.shaping import Inputs, Load, ShapingState, Terms


class Shaper:
    """`load` is the resource's, None while nobody measures it. `state` is what shaping remembers."""

    def __init__(self, policy: TokenPolicy) -> None:
        self.policy = policy
        self.load: Load | None = None
        self.state = ShapingState()
        self.aggregate = Aggregate(policy.spec.forecast.quantile)
        self._weight_prediction = policy.spec.weights.prediction.initial
        self._scored_at = float("-inf")

    def shape(self, roster: Roster, rows: NDArray[np.intp], now: float) -> Terms:
        """For a plan of the clients in `rows`."""
        known = rows[roster.known[rows]]
        backlog = roster.backlog(rows, now) / self.policy.spec.report.interval_seconds
        requested = total(roster.request[rows] + backlog + roster.declared[rows])
        self._score(total(roster.offered[known]), requested, now)
        latencies = roster.latency[known]
        latencies = latencies[~np.isnan(latencies)]
        inputs = Inputs(
            requested=requested,
            weight_prediction=self._weight_prediction,
            load=self.load,
            latency_p95=float(np.median(latencies)) if len(latencies) else None,
            admitted=total(roster.admitted[known]),
        )
        terms, self.state = shaping.shape(self.policy.spec, inputs, self.state, now)
        return self.advanced(terms, (len(rows) - len(known)) / max(len(rows), 1))

    def terms_of(self, requested: float, load: Load | None) -> Terms:
        """By the formula, between two plans."""
        return shaping.terms_of(self.policy.spec, max(requested, 0.0), self._weight_prediction, load, self.state)

    def advanced(self, terms: Terms, part: float) -> Terms:
        """That part of the clients has not told of a whole window: it is lent its share of max until it has."""
        if self.policy.spec.fill_rate.surplus == "Hold":
            return terms
        advance = min(part * self.policy.spec.fill_rate.max, terms.ceiling - terms.adjusted)
        return replace(terms, lent=max(terms.lent, advance))

    def _score(self, offered: float, requested: float, now: float) -> None:
        """Once an interval: how the last prediction of the total did, and what a predicted token is to count for."""
        spec = self.policy.spec
        if now < self._scored_at + spec.report.interval_seconds:
            return
        self._scored_at = now
        predicted = min(requested, spec.fill_rate.max)
        self.aggregate.observe(offered, now)
        self.aggregate.predict(predicted)
        self._weight_prediction = self.aggregate.weight(spec.fill_rate.base, predicted, spec.weights.prediction)
