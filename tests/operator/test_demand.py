from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_operator.demand import Demand, declared_tokens, demand_of
from forefill_protocol.messages import Expectation, Forecast, PolicyReport

AMOUNTS = st.floats(0.0, 1e12)


def entry(**changes: Any) -> PolicyReport:
    facts: dict[str, Any] = {
        "policy": "ai/llm",
        "window_seconds": 10.0,
        "offered": 200.0,
        "admitted": 200.0,
        "refused": 0.0,
        "backlog": 0.0,
        "requests": 20,
        "forecasts": [Forecast(mean=30.0, p50=29.0, p90=36.0, p95=40.0)],
    }
    return PolicyReport(**(facts | changes))


def test_the_request_is_the_forecast_and_the_reactive_one_what_was_offered() -> None:
    assert demand_of(entry(), 0.0, 10.0, 400.0) == Demand(request=30.0, reactive=20.0, spread=10.0, owed=0.0)


def test_a_backlog_counts_as_far_as_it_was_offered_and_not_admitted() -> None:
    waiting = entry(offered=300.0, backlog=500.0)
    assert demand_of(waiting, 0.0, 10.0, 400.0) == Demand(request=40.0, reactive=40.0, spread=10.0, owed=100.0)


def test_a_backlog_of_earlier_windows_goes_on_counting() -> None:
    steady = entry(backlog=100.0)
    assert demand_of(steady, 100.0, 10.0, 400.0) == Demand(request=40.0, reactive=30.0, spread=10.0, owed=100.0)


def test_what_was_refused_is_not_owed() -> None:
    refused = entry(offered=300.0, refused=100.0, backlog=500.0)
    assert demand_of(refused, 0.0, 10.0, 400.0).request == 30.0


def test_without_a_forecast_the_last_window_is_taken() -> None:
    assert demand_of(entry(forecasts=[]), 0.0, 10.0, 400.0) == Demand(request=20.0, reactive=20.0)


def test_a_window_cut_short_is_no_flood() -> None:
    blink = entry(window_seconds=0.001, offered=5.0, forecasts=[])
    assert demand_of(blink, 0.0, 10.0, 400.0).request == 5.0


@pytest.mark.parametrize(
    ("expectation", "tokens"),
    [
        (Expectation(0.0, 0.0, 60.0), 60.0),
        (Expectation(5.0, 10.0, 60.0), 30.0),
        (Expectation(0.0, 20.0, 60.0), 30.0),
        (Expectation(9.0, 1.0, 60.0), 60.0),
        (Expectation(10.0, 0.0, 60.0), 0.0),
        (Expectation(50.0, 5.0, 60.0), 0.0),
    ],
)
def test_declared_work_counts_as_far_as_it_falls_into_the_next_interval(
    expectation: Expectation, tokens: float
) -> None:
    assert declared_tokens([expectation], 10.0) == pytest.approx(tokens)


@given(
    st.builds(
        entry,
        window_seconds=st.floats(0.0, 1e9),
        offered=AMOUNTS,
        admitted=AMOUNTS,
        refused=AMOUNTS,
        backlog=AMOUNTS,
        forecasts=st.lists(st.builds(Forecast, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS), max_size=2),
        expectations=st.lists(st.builds(Expectation, st.floats(0.0, 1e9), st.floats(0.0, 1e9), AMOUNTS), max_size=3),
    ),
    st.floats(0.0, 4000.0),
)
def test_no_report_makes_a_demand_beyond_the_highest_rate(report: PolicyReport, owed: float) -> None:
    demand = demand_of(report, owed, 10.0, 400.0)
    assert 0.0 <= demand.request <= 400.0
    assert 0.0 <= demand.reactive <= 400.0
    assert 0.0 <= demand.spread <= 400.0
    assert 0.0 <= demand.owed <= 4000.0
