from collections.abc import Callable, Sequence
from math import fsum, inf
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_operator import plan, shaping
from forefill_operator.anomaly.finding import Verdict
from forefill_operator.classes import Group
from forefill_operator.demand import Demand
from forefill_operator.plan import Plan
from forefill_operator.policy import TokenPolicy
from forefill_operator.pool import LEAST_POOL_SHARE, POOL_SHARE
from forefill_operator.roster import Roster
from forefill_operator.shaping import ShapingState

Make = Callable[..., TokenPolicy]
RATES = st.floats(0.0, 400.0)
DEMANDS = st.one_of(st.none(), st.builds(Demand, RATES, RATES, RATES))
ONE = (Group("namespace/ai"),)
# What the pool leaves of 400 tokens/s in a shortage.
SHORT = 400.0 * (1 - LEAST_POOL_SHARE)


def planned(
    policy: TokenPolicy,
    demands: Sequence[Demand | None],
    *,
    reserved: float = 0.0,
    groups: Sequence[Group] = ONE,
    places: Sequence[int] = (),
    weights: Sequence[float] = (),
    verdicts: Sequence[Verdict] = (),
    order: Sequence[int] | None = None,
    roster: Roster | None = None,
) -> Plan:
    roster = roster or Roster()
    for number in order or range(len(demands)):
        row, demand = roster.row_of(f"uid-{number}"), demands[number]
        if demand is not None:
            roster.request[row], roster.reactive[row], roster.spread[row] = (
                demand.request, demand.reactive, demand.spread,
            )  # fmt: skip
            roster.known[row] = True
        roster.group[row] = places[number] if places else 0
        roster.weight[row] = weights[number] if weights else 1.0
        roster.judge(row, verdicts[number] if verdicts else "None")
        roster.fresh_until[row] = inf
    requested = fsum(demand.request for demand in demands if demand)
    terms = shaping.terms_of(policy.spec, requested, 1.0, None, ShapingState())
    return plan.plan(policy, roster, roster.fresh(0.0), groups, terms, reserved, 7.0)


def rates(policy: TokenPolicy, *demands: Demand | None, **others: object) -> list[float]:
    roster = Roster()
    made = planned(policy, demands, roster=roster, **others)  # type: ignore[arg-type]
    by_row = dict(zip(made.rows.tolist(), made.rates.tolist(), strict=True))
    return [by_row[roster.row_of(f"uid-{number}")] for number in range(len(demands))]


def test_a_plan_keeps_what_it_was_made_from(make_policy: Make) -> None:
    roster = Roster()
    made = planned(make_policy(), [Demand(100.0, 90.0)], reserved=10.0, roster=roster)
    assert (made.generation, made.made_at, made.reserved, made.available) == (1, 7.0, 10.0, 150.0)
    assert (made.terms.requested, made.terms.adjusted, made.pool_rate) == (100.0, 150.0, 0.0)
    assert (made.rows.tolist(), made.rates.tolist()) == ([roster.row_of("uid-0")], [150.0])


def test_nobody_to_plan_for_is_no_fault(make_policy: Make) -> None:
    made = planned(make_policy(), [])
    assert (made.planned, made.pool_rate, made.available, made.terms.clamp) == (0.0, 0.0, 50.0, "None")


def test_newcomers_share_equally_and_predict_nothing(make_policy: Make) -> None:
    assert rates(make_policy(), None, None) == pytest.approx([23.75, 23.75])


def test_a_newcomer_takes_an_equal_share_of_an_overload(make_policy: Make) -> None:
    assert rates(make_policy(), Demand(400.0, 400.0), Demand(400.0, 400.0), None) == pytest.approx([SHORT / 3] * 3)


def test_the_surplus_goes_mostly_where_the_spread_is(make_policy: Make) -> None:
    steady, wild = rates(make_policy(), Demand(50.0, 50.0, spread=1.0), Demand(50.0, 50.0, spread=30.0))
    assert steady + wild == pytest.approx(142.5)
    assert 50.0 < steady < 60.0 < 80.0 < wild


def test_a_forecast_that_is_too_low_takes_nobody_below_its_share_of_an_overload(make_policy: Make) -> None:
    blind, other = rates(make_policy(), Demand(request=1.0, reactive=300.0), Demand(400.0, 400.0))
    assert (blind, other) == pytest.approx((SHORT / 2, SHORT / 2))


def test_an_idle_client_keeps_a_trickle_in_an_overload(make_policy: Make) -> None:
    idle, busy = rates(make_policy(), Demand(0.0, 0.0), Demand(400.0, 400.0))
    assert (idle, busy) == pytest.approx((0.01 * SHORT / 2, 0.995 * SHORT))


def test_what_silent_clients_may_hold_is_not_planned_twice(make_policy: Make) -> None:
    assert rates(make_policy(), Demand(400.0, 400.0), reserved=150.0) == pytest.approx([250.0])
    assert rates(make_policy(), Demand(400.0, 400.0), reserved=900.0) == [0.0]


def test_a_claimed_spread_is_believed_up_to_the_larger_of_request_and_share(make_policy: Make) -> None:
    liar, honest = rates(make_policy(), Demand(10.0, 10.0, spread=400.0), Demand(100.0, 100.0, spread=20.0))
    # the share is 76 each: of a surplus of 42 the liar gets what a spread of 76 deserves
    assert liar == pytest.approx(10.0 + 42.0 * 79.8 / (79.8 + 23.8))
    assert honest > 100.0


def test_replicas_buy_no_share(make_policy: Make) -> None:
    hungry = Demand(400.0, 400.0)
    groups = (Group("namespace/a"), Group("namespace/b"))
    assert rates(make_policy(), hungry, hungry, hungry, hungry, groups=groups, places=[0, 0, 0, 1]) == pytest.approx(
        [SHORT / 6, SHORT / 6, SHORT / 6, SHORT / 2]
    )


def test_replicas_buy_no_surplus(make_policy: Make) -> None:
    """Four pods that are as uncertain together as the one of another namespace get as much together."""
    one, pod = Demand(40.0, 40.0, spread=20.0), Demand(10.0, 10.0, spread=10.0)
    groups = (Group("namespace/one"), Group("namespace/many"))
    found = rates(make_policy(base=400.0), one, *[pod] * 4, groups=groups, places=[0, 1, 1, 1, 1])
    assert sum(found[1:]) == pytest.approx(found[0], rel=0.05)


def test_a_class_gets_its_floor_and_no_more_than_its_ceiling(make_policy: Make) -> None:
    hungry = Demand(400.0, 400.0)
    groups = (Group("batch", weight=9.0, ceiling=60.0), Group("chat", weight=0.1, floor=120.0), Group("rest"))
    assert rates(make_policy(), hungry, hungry, hungry, groups=groups, places=[0, 1, 2]) == pytest.approx(
        [60.0, 120.0, SHORT - 180.0]
    )


def test_weights_divide_a_shortage_among_classes_and_among_their_clients(make_policy: Make) -> None:
    hungry = Demand(400.0, 400.0)
    groups = (Group("a", weight=3.0), Group("b", weight=1.0))
    made = rates(make_policy(), hungry, hungry, hungry, groups=groups, places=[0, 0, 1], weights=[1.1, 0.9, 1.0])
    assert made == pytest.approx([0.75 * SHORT * 0.55, 0.75 * SHORT * 0.45, 0.25 * SHORT])


def test_a_verdict_leaves_a_client_its_safe_share_or_a_trickle(make_policy: Make) -> None:
    hungry = Demand(400.0, 400.0)
    trickle = 0.01 * SHORT / 4
    made = rates(make_policy(), hungry, hungry, hungry, hungry, verdicts=["None", "Ignore", "Clamp", "Quarantine"])
    assert made == pytest.approx([(SHORT - 50.0 - trickle) / 2, (SHORT - 50.0 - trickle) / 2, 50.0, trickle])


@given(st.lists(DEMANDS, min_size=1, max_size=40), st.floats(0.0, 500.0))
def test_planned_rates_and_the_pool_sum_to_what_is_available(
    make_policy: Make, demands: list[Demand | None], reserved: float
) -> None:
    made = planned(make_policy(), demands, reserved=reserved)
    assert 20.0 <= made.terms.adjusted <= 400.0
    assert made.planned + made.pool_rate <= made.available * (1 + 1e-15) <= max(400.0 - reserved, 0.0) * (1 + 1e-15)
    assert made.planned + made.pool_rate == pytest.approx(made.available, rel=1e-9)
    if len(demands) > 1:
        assert LEAST_POOL_SHARE * made.available <= made.pool_rate <= POOL_SHARE * made.available
    else:
        assert made.pool_rate == 0.0


@given(st.lists(st.tuples(DEMANDS, st.integers(0, 2)), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_the_order_of_the_clients_changes_nothing(
    make_policy: Make, rows: list[tuple[Demand | None, int]], chance: Random
) -> None:
    demands, places = [row[0] for row in rows], [row[1] for row in rows]
    groups = (Group("a", floor=5.0), Group("b", weight=2.0), Group("c", ceiling=30.0))
    straight = rates(make_policy(), *demands, groups=groups, places=places)
    order = list(range(len(rows)))
    chance.shuffle(order)
    assert rates(make_policy(), *demands, groups=groups, places=places, order=order) == straight


@given(st.lists(st.builds(Demand, RATES, RATES, RATES), min_size=1, max_size=40))
def test_nobody_falls_below_the_smaller_of_its_reactive_request_and_its_share(
    make_policy: Make, demands: list[Demand]
) -> None:
    made = planned(make_policy(), demands)
    share = (made.available - made.pool_rate) / len(demands)
    for rate, demand in zip(rates(make_policy(), *demands), demands, strict=True):
        assert rate >= min(demand.reactive, share) * (1 - 1e-9)


@given(st.lists(st.builds(Demand, RATES, RATES, RATES), min_size=2, max_size=40), st.data())
def test_who_reports_between_two_plans_gets_what_the_plan_gave_it(
    make_policy: Make, demands: list[Demand], data: st.DataObject
) -> None:
    roster = Roster()
    made = planned(make_policy(), demands, roster=roster)
    number = data.draw(st.integers(0, len(demands) - 1))
    demand, level = demands[number], made.levels[0]
    again = plan.rate_between_plans(level, demand.request, demand.reactive, demand.spread, 1.0)
    planned_rate = made.rates[made.rows.tolist().index(roster.row_of(f"uid-{number}"))]
    assert min(again, 400.0) == pytest.approx(planned_rate, rel=1e-6, abs=1e-6)
    assert np.isfinite(again)
