from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_operator.anomaly.finding import Verdict
from forefill_operator.appraisal import Appraisal
from forefill_operator.demand import Demand, Window, demand_of, surprise
from forefill_operator.work import declared
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


def made_of(report: PolicyReport, owed: float = 0.0, appraisal: Appraisal | None = None) -> Demand:
    """A report that is its whole window, after others that offered 20 tokens/s."""
    window = Window()
    window.add(report)
    return demand_of(report, window, appraisal, Demand(0.0, 0.0, owed=owed, offered=20.0), 10.0, 400.0)


def test_the_request_is_the_forecast_and_the_reactive_one_what_was_offered() -> None:
    assert made_of(entry()) == Demand(request=30.0, reactive=20.0, spread=10.0, offered=20.0)


def test_a_backlog_counts_as_far_as_it_was_offered_and_not_admitted() -> None:
    waiting = entry(offered=300.0, admitted=210.0, backlog=500.0)
    assert made_of(waiting) == Demand(request=39.0, reactive=34.0, spread=10.0, owed=90.0, waiting=90.0, offered=25.0)


def test_a_backlog_of_earlier_windows_goes_on_counting() -> None:
    steady = entry(backlog=90.0)
    assert made_of(steady, 100.0) == Demand(
        request=39.0, reactive=29.0, spread=10.0, owed=100.0, waiting=90.0, offered=20.0
    )


def test_what_was_refused_is_not_owed() -> None:
    refused = entry(offered=300.0, refused=100.0, backlog=500.0)
    assert made_of(refused).request == 30.0


def test_without_a_forecast_the_last_window_is_taken() -> None:
    assert made_of(entry(forecasts=[])) == Demand(request=20.0, reactive=20.0, offered=20.0)


def test_a_window_cut_short_is_no_flood() -> None:
    blink = entry(window_seconds=0.001, offered=5.0, forecasts=[])
    assert made_of(blink).request == 5.0


def appraisal(trust: float = 1.0, verdict: Verdict = "None") -> Appraisal:
    return Appraisal(20.0, 4.0, trust, 0.0, False, verdict, ())


@pytest.mark.parametrize(
    ("believed", "request_", "spread"),
    [
        (appraisal(), 30.0, 10.0),
        (appraisal(trust=0.5), 25.0, 7.0),
        (appraisal(trust=0.0), 20.0, 4.0),
        (appraisal(verdict="Ignore"), 20.0, 4.0),
    ],
)
def test_a_forecast_counts_as_far_as_it_is_trusted(believed: Appraisal, request_: float, spread: float) -> None:
    made = made_of(entry(), appraisal=believed)
    assert (made.request, made.spread) == (request_, spread)


def test_a_window_that_was_reported_in_parts_counts_as_a_whole() -> None:
    first, last = entry(window_seconds=2.0, offered=100.0, early=True), entry(window_seconds=8.0, offered=140.0)
    window = Window()
    window.add(first)
    window.add(last)
    assert demand_of(last, window, None, None, 10.0, 400.0).reactive == 24.0


def test_what_is_offered_is_followed_by_whole_windows_at_some_pace() -> None:
    assert made_of(entry(offered=300.0)).offered == 25.0
    assert made_of(entry(offered=300.0, early=True)).offered == 20.0


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        ((50.0, 20.0), (50.0, 20.0)),
        # Nobody can have had more delayed and refused than was offered.
        ((1e308, 20.0), (180.0, 20.0)),
        ((50.0, 1e308), (0.0, 200.0)),
    ],
)
def test_what_enforcement_would_have_done_is_at_most_what_was_offered(
    said: tuple[float, float], counted: tuple[float, float]
) -> None:
    window = Window()
    window.add(entry(would_wait=said[0], would_refuse=said[1]))
    assert (window.would_wait, window.would_refuse) == counted


@pytest.mark.parametrize(
    ("seconds", "offered", "rate", "perhaps"),
    [
        # as expected, and as chance would have it
        (4.0, 120.0, 0.0, 0.0),
        (4.0, 190.0, 0.0, 35.0),
        # beyond all chance: what is above the forecast came in the last two seconds
        (4.0, 280.0, 80.0, 0.0),
        (1.0, 130.0, 100.0, 0.0),
    ],
)
def test_demand_above_the_forecast_is_believed_as_far_as_chance_does_not_explain_it(
    seconds: float, offered: float, rate: float, perhaps: float
) -> None:
    early = entry(window_seconds=seconds, offered=offered, early=True)
    assert surprise(early, 30.0, 10.0, 10.0, 400.0) == pytest.approx((rate, perhaps))


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
        early=st.booleans(),
    ),
    st.floats(0.0, 4000.0),
    st.one_of(st.none(), st.builds(appraisal, st.floats(0.0, 1.0))),
)
def test_no_report_makes_a_demand_beyond_the_highest_rate(
    report: PolicyReport, owed: float, believed: Appraisal | None
) -> None:
    demand = made_of(report, owed, believed)
    assert 0.0 <= demand.request <= 400.0
    assert 0.0 <= demand.reactive <= 400.0
    assert 0.0 <= demand.spread <= 400.0
    assert 0.0 <= demand.waiting <= demand.owed <= 4000.0
    assert all(0.0 <= part <= 400.0 for part in surprise(report, 1.0, demand.spread, 10.0, 400.0))
    work = declared(report.expectations, 0.0, 400.0)
    assert all(0.0 <= each.rate <= 400.0 and each.begins < each.ends for each in work)
