from collections.abc import Sequence
from math import fsum, inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_operator.allocation import Claim, split

# Nobody can tell a rate below one token in thirty years from none.
RATES = st.one_of(st.just(0.0), st.floats(1e-9, 1e6), st.floats(1e-9, 10.0))
CAPACITIES = st.one_of(st.just(0.0), st.floats(1e-9, 1e7))


@st.composite
def claims(draw: st.DrawFn) -> Claim:
    floor, ceiling = sorted([draw(st.one_of(st.just(0.0), RATES)), draw(st.one_of(st.just(inf), RATES))])
    return Claim(
        request=draw(RATES),
        risk=draw(RATES),
        weight=draw(st.floats(0.01, 100.0)),
        floor=floor if draw(st.booleans()) else 0.0,
        ceiling=ceiling,
    )


MANY = st.lists(claims(), max_size=30)


@pytest.mark.parametrize(
    ("capacity", "rows", "expected"),
    [
        (100.0, [5, 15, 22, 28, 100], [5, 15, 22, 28, 30]),
        (60.0, [5, 15, 22, 28, 100], [5, 13.75, 13.75, 13.75, 13.75]),
        (10.0, [50, 50], [5, 5]),
        (0.0, [50, 50], [0, 0]),
        (10.0, [], []),
    ],
)
def test_an_overload_fills_the_lowest_first(capacity: float, rows: list[float], expected: list[float]) -> None:
    assert split(capacity, [Claim(request) for request in rows]) == pytest.approx(expected)


def test_weights_divide_an_overload() -> None:
    assert split(90.0, [Claim(100, weight=1), Claim(100, weight=2)]) == pytest.approx([30, 60])


def test_a_floor_comes_before_the_level_even_when_nothing_was_asked_for() -> None:
    assert split(90.0, [Claim(0, floor=40), Claim(100), Claim(100)]) == pytest.approx([40, 25, 25])


def test_floors_that_exceed_the_capacity_are_divided_themselves() -> None:
    assert split(30.0, [Claim(0, floor=10), Claim(0, floor=40)]) == pytest.approx([10, 20])


def test_a_surplus_goes_where_the_uncertainty_is() -> None:
    assert split(100.0, [Claim(20, risk=1), Claim(40, risk=3)]) == pytest.approx([30, 70])


def test_a_surplus_over_certain_demand_goes_by_weight() -> None:
    assert split(100.0, [Claim(20, weight=1), Claim(40, weight=3)]) == pytest.approx([30, 70])


def test_what_a_ceiling_leaves_over_goes_to_the_others() -> None:
    assert split(100.0, [Claim(20, risk=9, ceiling=25), Claim(40, risk=1)]) == pytest.approx([25, 75])
    assert split(100.0, [Claim(20, risk=9, ceiling=25), Claim(40, risk=0)]) == pytest.approx([25, 75])
    assert split(100.0, [Claim(20, ceiling=25), Claim(40, ceiling=50)]) == [25, 50]


@given(CAPACITIES, MANY)
def test_all_there_is_is_handed_out_and_never_more(capacity: float, rows: list[Claim]) -> None:
    total = fsum(split(capacity, rows))
    most = min(capacity, fsum(row.ceiling for row in rows)) if rows else 0.0
    assert total <= capacity
    assert total == pytest.approx(most, rel=1e-9, abs=1e-300)


@given(CAPACITIES, MANY)
def test_ceilings_hold_and_floors_too_when_they_fit(capacity: float, rows: list[Claim]) -> None:
    rates = split(capacity, rows)
    fits = fsum(row.floor for row in rows) < capacity
    for rate, row in zip(rates, rows, strict=True):
        assert rate <= row.ceiling
        assert rate >= (row.floor * (1 - 1e-9) if fits else 0.0)


@given(CAPACITIES, MANY, st.randoms(use_true_random=False))
def test_the_order_of_the_claims_changes_nothing(capacity: float, rows: list[Claim], order: Random) -> None:
    rates = dict(enumerate(split(capacity, rows)))
    places = list(range(len(rows)))
    order.shuffle(places)
    shuffled = split(capacity, [rows[place] for place in places])
    assert shuffled == [rates[place] for place in places]


@given(CAPACITIES, MANY)
def test_a_claim_gets_the_smaller_of_its_request_and_its_weighted_share(capacity: float, rows: list[Claim]) -> None:
    rows = [Claim(row.request, row.risk, row.weight) for row in rows]
    whole = fsum(row.weight for row in rows)
    for rate, row in zip(split(capacity, rows), rows, strict=True):
        assert rate >= min(row.request, capacity * row.weight / whole) * (1 - 1e-9)


@given(st.floats(0.1, 1e6), st.lists(st.tuples(RATES, st.floats(0.1, 10.0)), min_size=1, max_size=12))
def test_max_min_agrees_with_filling_step_by_step(capacity: float, rows: list[tuple[float, float]]) -> None:
    demanded = [Claim(request, weight=weight) for request, weight in rows]
    if fsum(request for request, _ in rows) >= capacity:
        assert split(capacity, demanded) == pytest.approx(step_by_step(capacity, rows), rel=1e-9, abs=1e-9)


def step_by_step(capacity: float, rows: Sequence[tuple[float, float]]) -> list[float]:
    """Raise everybody's level until the next one is served; repeat. Quadratic, and plainly max-min."""
    rates = [0.0] * len(rows)
    hungry = {index for index, (request, _) in enumerate(rows) if request > 0}
    left = capacity
    while hungry and left > 1e-12 * capacity:
        weight = fsum(rows[index][1] for index in hungry)
        rise = min(left / weight, min((rows[i][0] - rates[i]) / rows[i][1] for i in hungry))
        for index in hungry:
            rates[index] += rise * rows[index][1]
        left -= rise * weight
        served = {index for index in hungry if rates[index] >= rows[index][0] * (1 - 1e-12)}
        if not served:
            break
        hungry -= served
    return rates
