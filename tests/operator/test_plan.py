from collections.abc import Callable
from math import fsum
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_operator import plan
from forefill_operator.demand import Demand
from forefill_operator.plan import Need, Standing
from forefill_operator.policy import TokenPolicy
from forefill_operator.shaping import Load

Make = Callable[..., TokenPolicy]
RATES = st.floats(0.0, 400.0)
DEMANDS = st.one_of(st.none(), st.builds(Demand, RATES, RATES, RATES))


def needs(*demands: Demand | None) -> list[Need]:
    return [Need(f"uid-{number}", demand) for number, demand in enumerate(demands)]


def rates(policy: TokenPolicy, *demands: Demand | None, reserved: float = 0.0) -> list[float]:
    return list(plan.plan(policy, Standing(needs(*demands), reserved), None, 0.0).rates.values())


def test_a_plan_keeps_what_it_was_made_from(make_policy: Make) -> None:
    load = Load(0.5, 0.5, 0.5)
    made = plan.plan(make_policy(spec__weights__load=-40), Standing(needs(Demand(100.0, 90.0)), 10.0), load, 7.0)
    assert (made.generation, made.made_at, made.reserved, made.available) == (1, 7.0, 10.0, 130.0)
    assert (made.terms.requested, made.terms.adjusted, made.terms.load) == (100.0, 130.0, load)
    assert made.rates == {"uid-0": 130.0}


def test_nobody_to_plan_for_is_no_fault(make_policy: Make) -> None:
    made = plan.plan(make_policy(), Standing([]), None, 0.0)
    assert (made.rates, made.available, made.terms.clamp) == ({}, 50.0, "None")


def test_newcomers_share_equally_and_predict_nothing(make_policy: Make) -> None:
    assert rates(make_policy(), None, None) == pytest.approx([25.0, 25.0])


def test_a_newcomer_takes_an_equal_share_of_an_overload(make_policy: Make) -> None:
    assert rates(make_policy(), Demand(400.0, 400.0), Demand(400.0, 400.0), None) == pytest.approx([400 / 3] * 3)


def test_the_surplus_goes_mostly_where_the_spread_is(make_policy: Make) -> None:
    steady, wild = rates(make_policy(), Demand(50.0, 50.0, spread=1.0), Demand(50.0, 50.0, spread=30.0))
    assert steady + wild == pytest.approx(150.0)
    assert 50.0 < steady < 60.0 < 90.0 < wild


def test_a_forecast_that_is_too_low_takes_nobody_below_its_share_of_an_overload(make_policy: Make) -> None:
    blind, other = rates(make_policy(), Demand(request=1.0, reactive=300.0), Demand(400.0, 400.0))
    assert (blind, other) == pytest.approx((200.0, 200.0))


def test_an_idle_client_keeps_a_trickle_in_an_overload(make_policy: Make) -> None:
    idle, busy = rates(make_policy(), Demand(0.0, 0.0), Demand(400.0, 400.0))
    assert (idle, busy) == pytest.approx((2.0, 398.0))


def test_what_silent_clients_may_hold_is_not_planned_twice(make_policy: Make) -> None:
    assert rates(make_policy(), Demand(400.0, 400.0), reserved=150.0) == pytest.approx([250.0])
    assert rates(make_policy(), Demand(400.0, 400.0), reserved=900.0) == [0.0]


def test_a_claimed_spread_is_believed_up_to_the_larger_of_request_and_share(make_policy: Make) -> None:
    liar, honest = rates(make_policy(), Demand(10.0, 10.0, spread=400.0), Demand(100.0, 100.0, spread=20.0))
    assert liar == pytest.approx(10.0 + 50.0 * 84.0 / (84.0 + 24.0))
    assert honest > 100.0


@given(st.lists(DEMANDS, min_size=1, max_size=40), st.floats(0.0, 500.0))
def test_planned_rates_sum_to_what_is_available(
    make_policy: Make, demands: list[Demand | None], reserved: float
) -> None:
    made = plan.plan(make_policy(), Standing(needs(*demands), reserved), None, 0.0)
    assert 20.0 <= made.terms.adjusted <= 400.0
    assert fsum(made.rates.values()) <= made.available <= max(400.0 - reserved, 0.0)
    assert fsum(made.rates.values()) == pytest.approx(made.available, rel=1e-9)


@given(st.lists(DEMANDS, min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_the_clients_changes_nothing(
    make_policy: Make, demands: list[Demand | None], order: Random
) -> None:
    rows = needs(*demands)
    straight = plan.plan(make_policy(), Standing(rows), None, 0.0).rates
    order.shuffle(rows)
    assert plan.plan(make_policy(), Standing(rows), None, 0.0).rates == straight
