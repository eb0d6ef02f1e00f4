import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_operator.pace import CLIENT_SECONDS, CORE_PART, FRESH_SECONDS, PERIOD_SECONDS, PLAN_SECONDS, Pace, pace_of


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=300))
def test_plans_of_all_policies_together_take_a_small_part_of_a_core(clients: list[int]) -> None:
    costs = [PLAN_SECONDS + CLIENT_SECONDS * count for count in clients]
    paces = [pace_of(count, len(clients)) for count in clients]
    parts = [cost / pace.spacing for cost, pace in zip(costs, paces, strict=True)]
    assert sum(parts) <= CORE_PART * (1 + 1e-9)
    assert all(pace.spacing <= pace.freshness <= pace.period for pace in paces)


def test_one_small_policy_is_planned_for_as_often_as_it_is_worth() -> None:
    assert pace_of(10, 1) == Pace(pytest.approx(0.0102), FRESH_SECONDS, PERIOD_SECONDS)  # type: ignore[arg-type]
