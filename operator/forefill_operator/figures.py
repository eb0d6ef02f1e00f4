"""One policy in numbers, for metrics."""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import fsum

from msgspec import Struct

from forefill_operator.appraisal import Appraisal
from forefill_operator.book import Book


class Figures(Struct, frozen=True):
    """Tokens/s where not a count. `granted` sums the newest grants of live clients, `held` all that anybody may use.

    `held` includes `unknown`, what clients of an earlier operator may hold; between two plans it may count what has
    fallen by itself. `over_grant` is what of it exceeds max. `short` was offered in the last windows beyond what was
    granted. In mode Observe enforcement would have held up `would_wait` of the last windows and turned away
    `would_refuse`, as the sidecars count it. `waiting` counts clients whose raise waits for room;
    `handed_on` tokens came from idle buckets to those who waited, since this operator serves the policy.
    Trust and skill are means over live clients that are no newcomers, 1 and 0 while there are none; `anomalies` counts
    findings that stand, by kind.
    """

    clients: int
    granted: float
    held: float
    held_safe: float
    unknown: float
    over_grant: float
    max: float
    target: float
    ceiling: float
    adjusted: float
    lent: float
    available: float
    requested: float
    predicted_total: float
    weight_prediction: float
    weight_load: float
    pool_rate: float
    short: float
    would_wait: float
    would_refuse: float
    waiting: int
    handed_on: float
    trust: float
    trust_lowest: float
    skill: float
    clamped: int
    quarantined: int
    anomalies: Mapping[str, int] = {}


def figures_of(book: Book, now: float) -> Figures:
    roster = book.planner.roster
    fresh = roster.fresh(now)
    unknown, highest = book.learning.unknown_at(now), book.policy.spec.fill_rate.max
    held, terms = book.ledger.held, book.plan.terms
    live = [member for member in book.members.values() if member.is_live(now)]
    appraised = [member.appraisal for member in live if member.appraisal is not None]
    known = [appraisal for appraisal in appraised if not appraisal.is_newcomer]
    trusts = [appraisal.trust for appraisal in known]
    return Figures(
        clients=len(live),
        granted=fsum(member.rate for member in live),
        held=held.rate + unknown,
        held_safe=held.safe_rate,
        unknown=unknown,
        over_grant=max(held.rate + unknown - highest, 0.0),
        max=highest,
        target=terms.target,
        ceiling=terms.ceiling,
        adjusted=terms.adjusted,
        lent=terms.lent,
        available=book.plan.available,
        pool_rate=book.plan.pool_rate,
        short=float((roster.offered[fresh] - roster.granted[fresh]).clip(0.0).sum()),
        would_wait=float(roster.would_wait[fresh].sum()),
        would_refuse=float(roster.would_refuse[fresh].sum()),
        requested=terms.requested,
        predicted_total=terms.predicted_total,
        weight_prediction=terms.weight_prediction,
        weight_load=terms.weight_load,
        waiting=len(book.issuer.waiting),
        handed_on=book.transfers.handed_on,
        trust=_mean(trusts, 1.0),
        trust_lowest=min(trusts, default=1.0),
        skill=_mean([appraisal.skill for appraisal in known], 0.0),
        clamped=_judged(appraised, "Clamp"),
        quarantined=_judged(appraised, "Quarantine"),
        anomalies=Counter(anomaly.kind for appraisal in appraised for anomaly in appraisal.anomalies),
    )


def _mean(values: Sequence[float], empty: float) -> float:
    return fsum(values) / len(values) if values else empty


def _judged(appraised: Sequence[Appraisal], verdict: str) -> int:
    return sum(appraisal.verdict == verdict for appraisal in appraised)
