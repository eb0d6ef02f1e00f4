"""A plan beside the slowest one there is: levels found by halving, groups first and then their clients."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import fsum, inf, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_operator import plan, shaping
from forefill_operator.anomaly.finding import Verdict
from forefill_operator.classes import Group
from forefill_operator.plan import IDLE_PART, LEAST_RISK_PART
from forefill_operator.policy import SAFE_SHARE, TokenPolicy
from forefill_operator.roster import Roster
from forefill_operator.shaping import ShapingState

Make = Callable[..., TokenPolicy]
INTERVAL, MAX = 10.0, 400.0
HALVINGS = 200


@dataclass(frozen=True)
class Row:
    """What a plan reads of one client, `backlog` in tokens."""

    group: int
    request: float
    reactive: float
    spread: float
    declared: float
    backlog: float
    weight: float
    verdict: Verdict = "None"


@dataclass(frozen=True)
class Want:
    request: float
    risk: float
    weight: float
    floor: float
    ceiling: float


def level(capacity: float, at: Callable[[float], Sequence[float]]) -> list[float]:
    """The shares at the level at which they sum to the capacity, or the highest there are."""
    low, high = 0.0, 1.0
    while fsum(at(high)) < capacity and high < 1e12:
        high *= 2.0
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if fsum(at(middle)) < capacity else (low, middle)
    return list(at(low))


def divided(capacity: float, wants: Sequence[Want]) -> list[float]:
    """Floors first, requests by max-min, what is left by risk, and what nobody's risk takes by weight."""
    floors = [min(w.floor, w.ceiling) for w in wants]
    asked = [min(max(w.request, floor), w.ceiling) for w, floor in zip(wants, floors, strict=True)]
    if fsum(floors) >= capacity:
        return level(capacity, lambda t: [min(t * w.weight, f) for w, f in zip(wants, floors, strict=True)])
    if fsum(asked) >= capacity:
        every = list(zip(wants, floors, asked, strict=True))
        return level(capacity, lambda t: [min(max(t * w.weight, f), a) for w, f, a in every])
    rates = level(capacity, lambda t: [min(a + t * w.risk, w.ceiling) for w, a in zip(wants, asked, strict=True)])
    if fsum(rates) >= capacity * (1 - 1e-9):
        return rates
    return level(capacity, lambda t: [min(r + t * w.weight, w.ceiling) for w, r in zip(wants, rates, strict=True)])


def wants_of(rows: Sequence[Row], share: float, clients: int) -> list[Want]:
    """Rows of one group, whose share by weight of all there is to divide is `share`."""
    whole, wants = fsum(row.weight for row in rows), []
    for row in rows:
        own, waits = share * row.weight / whole, row.backlog / INTERVAL
        asked = min(row.request + waits + row.declared, MAX)
        asked = max(asked, min(row.reactive + waits, own), IDLE_PART * own)
        ceiling = {
            "Clamp": min(SAFE_SHARE * MAX / clients, MAX),
            "Quarantine": IDLE_PART * own,
        }.get(row.verdict, MAX)
        wants.append(Want(asked, min(row.spread, max(asked, own)) + LEAST_RISK_PART * own, row.weight, 0.0, ceiling))
    return wants


def reference(capacity: float, rows: Sequence[Row], groups: Sequence[Group]) -> list[float]:
    present = sorted({row.group for row in rows})
    weights = fsum(groups[index].weight for index in present)
    members = {index: [place for place, row in enumerate(rows) if row.group == index] for index in present}
    wants = {
        index: wants_of([rows[place] for place in places], capacity * groups[index].weight / weights, len(rows))
        for index, places in members.items()
    }
    whole = [
        Want(
            request=fsum(min(w.request, w.ceiling) for w in wants[index]),
            risk=sqrt(fsum(w.risk**2 for w in wants[index])),
            weight=groups[index].weight,
            floor=groups[index].floor,
            ceiling=min(groups[index].ceiling, fsum(w.ceiling for w in wants[index])),
        )
        for index in present
    ]
    rates = [0.0] * len(rows)
    for index, share in zip(present, divided(capacity, whole), strict=True):
        for place, rate in zip(members[index], divided(share, wants[index]), strict=True):
            rates[place] = rate
    return rates


AMOUNTS = st.integers(0, 800).map(lambda eighths: eighths / 8)
WEIGHTS = st.integers(1, 24).map(lambda eighths: eighths / 8)
VERDICTS: st.SearchStrategy[Verdict] = st.sampled_from(["None", "None", "None", "Clamp", "Quarantine"])
ROWS = st.builds(Row, st.integers(0, 2), AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, WEIGHTS, VERDICTS)


@st.composite
def classes(draw: st.DrawFn) -> list[Group]:
    """Three, with floors that fit max together, and ceilings."""
    made = []
    for name in "abc":
        floor = draw(st.sampled_from([0.0, 5.0, 40.0, 130.0]))
        made.append(Group(name, draw(WEIGHTS), floor, draw(st.sampled_from([inf, floor + 1.0, floor + 60.0]))))
    return made


def planned(policy: TokenPolicy, rows: Sequence[Row], groups: Sequence[Group], requested: float) -> plan.Plan:
    roster = Roster()
    for number, each in enumerate(rows):
        row = roster.row_of(f"uid-{number:03}")
        roster.request[row], roster.reactive[row], roster.spread[row] = each.request, each.reactive, each.spread
        roster.declared[row], roster.waiting[row], roster.weight[row] = each.declared, each.backlog, each.weight
        roster.group[row], roster.known[row], roster.fresh_until[row] = each.group, True, inf
        roster.judge(row, each.verdict)
    terms = shaping.terms_of(policy.spec, requested, 1.0, None, ShapingState())
    return plan.plan(policy, roster, roster.fresh(-1.0), groups, terms, 0.0, 0.0)


def in_turn(made: plan.Plan) -> list[float]:
    """Rates in the order in which the clients entered the roster."""
    assert made.rows.tolist() == list(range(len(made.rows)))
    rates: list[float] = made.rates.tolist()
    return rates


@given(st.lists(ROWS, min_size=1, max_size=8), classes(), st.floats(0.0, 500.0))
def test_a_plan_with_classes_backlog_and_verdicts_agrees_with_the_slow_one(
    make_policy: Make, rows: list[Row], groups: list[Group], requested: float
) -> None:
    made = planned(make_policy(), rows, groups, requested)
    expected = reference(made.available - made.pool_rate, rows, groups)
    assert in_turn(made) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(st.lists(ROWS, min_size=1, max_size=8), classes(), st.floats(0.0, 500.0))
def test_all_there_is_is_planned_within_floors_and_ceilings(
    make_policy: Make, rows: list[Row], groups: list[Group], requested: float
) -> None:
    """Invariant 3: grants and the pool come to min(adjusted + lent, ceilings); a class has its floor at least."""
    made = planned(make_policy(), rows, groups, requested)
    rates, capacity = in_turn(made), made.available - made.pool_rate
    rate = make_policy().spec.fill_rate
    assert rate.min <= made.terms.adjusted <= rate.max
    by_group = {index: fsum(r for r, row in zip(rates, rows, strict=True) if row.group == index) for index in range(3)}
    present = {row.group for row in rows}
    is_free = {index: all(row.verdict == "None" for row in rows if row.group == index) for index in present}
    assert fsum(rates) <= capacity * (1 + 1e-9)
    for index in present:
        assert by_group[index] <= groups[index].ceiling * (1 + 1e-9)
    if all(is_free.values()):
        assert fsum(rates) == pytest.approx(min(capacity, fsum(groups[index].ceiling for index in present)))
    if fsum(groups[index].floor for index in present) <= capacity:
        for index in present:
            assert not is_free[index] or by_group[index] >= groups[index].floor * (1 - 1e-9)
