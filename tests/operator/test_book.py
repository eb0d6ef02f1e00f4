from typing import Any

import pytest
from tests.operator.clients import Make, overloaded

from forefill_operator.coming import LEAD_SECONDS, SURPRISED_SECONDS
from forefill_protocol.messages import Expectation, Forecast, Step


def test_a_backlog_draws_lump_tokens_from_the_pool_once(make_policy: Make) -> None:
    made = overloaded(make_policy)
    assert made.book.plan.pool_rate == pytest.approx(1.0)
    part: dict[str, Any] = {"early": True, "window_seconds": 2.0, "offered": 60.0, "admitted": 30.0, "backlog": 30.0}
    made.report("small", 10.0, 34.0, **part)
    made.report("small", 10.0, 34.5, **part)
    # three seconds of its rate, and what it has gained since
    assert made.lumps == [("small", 3.0), ("small", 0.5)]


def test_a_backlog_that_was_never_offered_draws_nothing(make_policy: Make) -> None:
    made = overloaded(make_policy)
    granted = made.report("small", 10.0, 34.0, early=True, backlog=45.0)
    assert granted.lump_tokens == 0.0


def test_a_full_pool_gives_to_whoever_is_known_to_wait(make_policy: Make) -> None:
    made = overloaded(make_policy)
    made.report("big", 250.0, 32.0, offered=3000.0, admitted=2000.0, backlog=200.0)
    made.lumps.clear()
    made.tick(34.0)
    assert made.lumps == [("big", 2.0)]


def test_an_early_report_recalls_what_it_needs_and_has_it_when_that_is_acknowledged(make_policy: Make) -> None:
    made = overloaded(make_policy)
    assert made.grants["small"].fill_rate < 20.0
    made.report("small", 10.0, 34.0, early=True, window_seconds=2.0, offered=300.0, admitted=300.0)
    assert {name for name, _ in made.recalls} == {"big", "large"}
    assert made.grants["small"].fill_rate == pytest.approx(399.0 / 3, rel=1e-6)


def test_what_took_the_forecast_by_surprise_ends_by_itself(make_policy: Make) -> None:
    made = overloaded(make_policy)
    granted = made.report("small", 10.0, 34.0, early=True, window_seconds=2.0, offered=300.0, admitted=300.0)
    granted = made.grants["small"]
    (step,) = granted.steps
    assert step.after_seconds == pytest.approx(SURPRISED_SECONDS)
    assert step.fill_rate < 20.0
    held = made.book.ledger.accounts["small"]
    assert held.held_at(36.9).rate == granted.fill_rate
    assert held.held_at(34.0 + 1.01 * SURPRISED_SECONDS).rate == step.fill_rate


def test_a_second_surprise_lasts_for_an_interval(make_policy: Make) -> None:
    made = overloaded(make_policy)
    for now in (34.0, 35.0):
        made.report("small", 10.0, now, early=True, window_seconds=1.0, offered=100.0, admitted=100.0)
    assert made.book.members["small"].surprised_until == 45.0


def test_a_surprise_counts_on_as_far_as_the_end_of_its_window_bears_it_out(make_policy: Make) -> None:
    def after(last: float) -> float:
        made = overloaded(make_policy)
        for now in (32.0, 33.0):
            made.report("small", 100.0, now, early=True, window_seconds=1.0, offered=100.0, admitted=100.0,
                        forecasts=[Forecast(10.0, 10.0, 10.8, 11.0)])  # fmt: skip
        made.report("small", 10.0, 40.0, window_seconds=7.0, offered=7.0 * last, admitted=7.0 * last)
        made.tick(41.5)
        return made.grants["small"].fill_rate

    assert after(100.0) >= 99.0
    assert after(10.0) <= 60.0


def test_declared_work_has_its_rate_before_it_begins_and_gives_it_back_when_it_ends(make_policy: Make) -> None:
    made = overloaded(make_policy)
    made.report("small", 10.0, 40.0, expectations=[Expectation(6.0, 5.0, 500.0)])
    rates = {}
    for now in (41.0, 42.0, 43.0, 44.0, 45.0, 46.0):
        made.tick(now)
        rates[now] = made.grants["small"].fill_rate
    assert rates[43.0] < 20.0
    assert rates[46.0 - LEAD_SECONDS + 1.0] > 100.0
    assert [round(step.after_seconds) for step in made.grants["small"].steps] == [11]
    for now in (48.0, 50.0, 51.5, 52.5, 53.5):
        made.tick(now)
    held = made.book.ledger.accounts["small"].held_at(53.5).rate
    assert held < 0.7 * rates[46.0]


def test_a_recall_takes_from_later_steps_too(make_policy: Make) -> None:
    made = overloaded(make_policy)
    member = made.book.members["big"]
    held = member.assignment
    assert held is not None
    assert held.steps == []
    made.book.issuer.recall(member, 5.0, 34.0, "because")
    assert member.assignment is not None
    assert (member.assignment.fill_rate, member.assignment.safe_rate) == (5.0, 5.0)
    assert Step(1.0, 5.0) not in member.assignment.steps


def test_priority_travels_with_the_grant(make_policy: Make) -> None:
    made = overloaded(make_policy)
    assert {name: grant.priority for name, grant in made.grants.items()} == {"big": 1.0, "large": 1.0, "small": 1.0}
