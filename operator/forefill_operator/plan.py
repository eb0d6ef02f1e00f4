"""What every client of one policy is to get until the next plan. `plan` is a function from values to a value."""

from collections.abc import Sequence
from math import inf, sqrt

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from forefill_operator.allocation_columns import Claims, Column, split_columns
from forefill_operator.anomaly.finding import VERDICTS
from forefill_operator.classes import Group
from forefill_operator.exact import total
from forefill_operator.policy import SAFE_SHARE, TokenPolicy
from forefill_operator.pool import LEAST_POOL_SHARE, POOL_SHARE
from forefill_operator.roster import Roster
from forefill_operator.shaping import Terms

# Parts of a client's share. Nobody is planned below the first, so that the first request after a silence finds a
# bucket that fills; nobody's demand counts as better known than the second.
IDLE_PART = 0.01
LEAST_RISK_PART = 0.05
# Rates that differ by less than this part are the same.
ROUNDING = 1e-9

_CLAMP, _QUARANTINE = VERDICTS.index("Clamp"), VERDICTS.index("Quarantine")


class Level(Struct, frozen=True, gc=False):
    """Where the water stands in one group: who comes between two plans is given what it would have had.

    In a shortage a client gets `value` times its weight if it asks for more, else its request and `value` times its
    risk.
    `whole_weight` is the group's, `share` what the group's clients may have by weight, tokens/s.
    """

    is_short: bool
    value: float
    whole_weight: float
    share: float

    def rate(self, request: float, risk: float, weight: float) -> float:
        return min(request, self.value * weight) if self.is_short else request + self.value * risk


class Plan(Struct, frozen=True):
    """`rates` (tokens/s, of the roster's `rows`) and `pool_rate` sum to `available`: what the terms hand out, or what
    `reserved` leaves of max, as far as ceilings allow.
    """

    generation: int
    made_at: float
    terms: Terms
    reserved: float
    available: float
    pool_rate: float
    rows: NDArray[np.intp]
    rates: Column
    levels: dict[int, Level]

    @property
    def planned(self) -> float:
        return total(self.rates)


def plan(
    policy: TokenPolicy, roster: Roster, rows: NDArray[np.intp], groups: Sequence[Group], terms: Terms, reserved: float,
    now: float,
) -> Plan:  # fmt: skip
    """Divide what the terms hand out among the clients in `rows`, first among their groups."""
    available = available_rate(terms, reserved, policy.spec.fill_rate.max)
    pool_rate = _pool_rate(available, roster, rows) if len(rows) > 1 else 0.0
    rates, levels = _divide(policy, roster, rows, groups, available - pool_rate, now)
    return Plan(
        generation=policy.generation,
        made_at=now,
        terms=terms,
        reserved=reserved,
        available=available,
        pool_rate=pool_rate,
        rows=rows,
        rates=rates,
        levels=levels,
    )


def _pool_rate(available: float, roster: Roster, rows: NDArray[np.intp]) -> float:
    """The pool lives on what usual demand leaves over: when that is short a queue is served as well by a rate.

    Backlog is left out: the pool is there to serve it, but not everybody's.
    """
    usual = total(roster.request[rows]) + total(roster.declared[rows])
    if 2 * np.count_nonzero(roster.waiting[rows]) > len(rows):
        return LEAST_POOL_SHARE * available
    return min(max(available - usual, LEAST_POOL_SHARE * available), POOL_SHARE * available)


def available_rate(terms: Terms, reserved: float, highest_rate: float) -> float:
    return max(0.0, min(terms.handed_out, highest_rate - reserved))


def _divide(
    policy: TokenPolicy, roster: Roster, rows: NDArray[np.intp], groups: Sequence[Group], capacity: float, now: float
) -> tuple[Column, dict[int, Level]]:
    rates = np.zeros(len(rows))
    present, parts = _parts(roster.group[rows])
    served = [groups[index] for index in present]
    whole = sum(group.weight for group in served)
    claims = [
        _claims(policy, roster, rows[part], capacity * group.weight / whole, now)
        for part, group in zip(parts, served, strict=True)
    ]
    levels: dict[int, Level] = {}
    shares = _shares(capacity, claims, served)
    for index, part, claim, group, share in zip(present, parts, claims, served, shares.tolist(), strict=True):
        rates[part] = split_columns(share, claim)
        levels[index] = _level(claim, rates[part], capacity * group.weight / whole)
    return rates, levels


def _parts(group: NDArray[np.int32]) -> tuple[list[int], list[NDArray[np.intp]]]:
    """The groups that are there, and the places of each one's clients."""
    counts = np.bincount(group)
    present = np.flatnonzero(counts)
    if len(present) < 2:
        return present.tolist(), [np.arange(len(group)) for _ in present]
    return present.tolist(), np.split(np.argsort(group, kind="stable"), np.cumsum(counts[present])[:-1])


def _shares(capacity: float, claims: Sequence[Claims], groups: Sequence[Group]) -> Column:
    """What each group gets in total. Its own ceiling counts, and what its clients can have at most."""
    if not groups:
        return np.zeros(0)
    return split_columns(
        capacity,
        Claims(
            request=np.array([total(np.minimum(claim.request, claim.ceiling)) for claim in claims]),
            risk=np.array([sqrt(total(claim.risk**2)) for claim in claims]),
            weight=np.array([group.weight for group in groups]),
            floor=np.array([group.floor for group in groups]),
            ceiling=np.array([min(g.ceiling, total(c.ceiling)) for g, c in zip(groups, claims, strict=True)]),
        ),
    )


def _claims(policy: TokenPolicy, roster: Roster, rows: NDArray[np.intp], group_share: float, now: float) -> Claims:
    """A forecast below what the last window asked for takes nobody under the smaller of that and its weighted share.

    A spread is believed up to the larger of request and share: uncertainty can't be claimed without bound.
    """
    weight, known = roster.weight[rows], roster.known[rows]
    share = group_share * weight / total(weight)
    backlog = roster.backlog(rows, now) / policy.spec.report.interval_seconds
    asked = np.minimum(roster.request[rows] + backlog + roster.declared[rows], policy.spec.fill_rate.max)
    asked = np.maximum(np.maximum(asked, np.minimum(roster.reactive[rows] + backlog, share)), IDLE_PART * share)
    request = np.where(known, asked, np.maximum(asked, share))
    spread = np.where(known, np.minimum(roster.spread[rows], np.maximum(request, share)), 0.0)
    return Claims(
        request=request,
        risk=spread + LEAST_RISK_PART * share,
        weight=weight,
        floor=np.zeros(len(rows)),
        ceiling=_ceilings(policy, roster, rows, share),
    )


def _ceilings(policy: TokenPolicy, roster: Roster, rows: NDArray[np.intp], share: Column) -> Column:
    """What a verdict leaves a client: its safe share, or a trickle."""
    verdict = roster.verdict[rows]
    safe = min(SAFE_SHARE * policy.spec.fill_rate.max / max(len(roster.rows), 1), policy.spec.fill_rate.max)
    ceilings = np.where(verdict == _CLAMP, safe, policy.spec.fill_rate.max)
    return np.where(verdict == _QUARANTINE, IDLE_PART * share, ceilings)


def _level(claims: Claims, rates: Column, share: float) -> Level:
    whole_weight = total(claims.weight)
    short = rates < claims.request * (1 - ROUNDING)
    short &= rates < claims.ceiling * (1 - ROUNDING)
    if short.any():
        return Level(True, float((rates[short] / claims.weight[short]).max()), whole_weight, share)
    risky = claims.risk > 0.0
    margins = (rates[risky] - claims.request[risky]) / claims.risk[risky]
    return Level(False, max(float(margins.max(initial=0.0)), 0.0), whole_weight, share)


def rate_between_plans(
    level: Level, request: float, reactive: float, spread: float, weight: float, known: bool = True
) -> float:
    """What a client that reports after the plan would have had in it, tokens/s, as far as there is room.

    Before it is `known` what it needs it is taken to ask for no less than its share.
    """
    share = level.share * weight / level.whole_weight if level.whole_weight > 0.0 else inf
    request = max(request, min(reactive, share), IDLE_PART * share if known else min(share, level.share))
    risk = min(spread, max(request, share)) + LEAST_RISK_PART * share
    return level.rate(request, risk, weight)
