"""Invariant 8: a restarted operator learns for one lease at most, and is exact from then on."""

from math import fsum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.closed_loop.test_grants import KEY, Fleet

from forefill_operator.envelope import CLOCK_MARGIN

INTERVAL, LEASE = 10.0, 30.0


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    demands=st.lists(st.floats(0.0, 300.0), min_size=1, max_size=10),
    away=st.floats(0.0, 45.0),
    reconnect=st.floats(0.0, 8.0),
    lost=st.integers(0, 3),
)
def test_after_a_restart_everything_is_handed_out_within_a_lease_and_never_more_than_there_is(
    seed: int, demands: list[float], away: float, reconnect: float, lost: int
) -> None:
    """`lost` pods never come back; that no more is in use than there may be is checked in every step."""
    fleet = Fleet(seed)
    pods = [fleet.start_pod(demand) for demand in demands]
    fleet.run(40.0)
    fleet.restart_operator(away, reconnect)
    for pod in pods[1 : 1 + lost]:
        fleet.kill_pod(pod, known_after=away)
    fleet.run(away + CLOCK_MARGIN * LEASE + 2.0 * INTERVAL)
    figures = fleet.controller.figures(fleet.now)[KEY]
    book = fleet.controller.books[KEY]
    plan = book.plan
    assert (figures.unknown, figures.over_grant) == (0.0, 0.0)
    assert {book.planner.roster.uids[row] for row in plan.rows.tolist()} == set(fleet.pods)
    assert plan.planned + plan.pool_rate == pytest.approx(plan.available, rel=1e-9)
    assert fsum(pod.rate(fleet.now) for pod in fleet.pods.values()) == pytest.approx(plan.planned, rel=0.03)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), demands=st.lists(st.floats(1.0, 300.0), min_size=2, max_size=10))
def test_who_comes_back_soon_goes_on_at_the_rate_it_had(seed: int, demands: list[float]) -> None:
    fleet = Fleet(seed)
    pods = [fleet.start_pod(demand) for demand in demands]
    fleet.run(40.0)
    before = [pod.rate(fleet.now) for pod in pods]
    fleet.restart_operator(away=0.5, reconnect=0.5)
    fleet.run(1.5)
    assert fsum(pod.rate(fleet.now) for pod in pods) == pytest.approx(fsum(before), rel=0.03)
    assert all(pod.rate(fleet.now) >= 0.8 * rate for pod, rate in zip(pods, before, strict=True))
