from typing import Any

import pytest

from forefill_operator.anomaly.finding import Finding
from forefill_operator.anomaly.impossible import impossible
from forefill_protocol.messages import Forecast, PolicyReport, Spread

RISING = Forecast(mean=20.0, p50=19.0, p90=30.0, p95=33.0)


def entry(**changes: Any) -> PolicyReport:
    facts: dict[str, Any] = {
        "policy": "ai/llm",
        "window_seconds": 10.0,
        "offered": 200.0,
        "admitted": 200.0,
        "refused": 0.0,
        "backlog": 0.0,
        "requests": 20,
        "forecasts": [RISING, RISING, RISING],
    }
    return PolicyReport(**(facts | changes))


@pytest.mark.parametrize(
    "honest",
    [
        entry(),
        entry(offered=0.0, admitted=0.0, requests=0, forecasts=[]),
        entry(admitted=320.0),
        entry(admitted=100.0, refused=220.0),
        entry(offered=30.0, admitted=30.0, requests=0),
        entry(offered=399_000.0, admitted=10.0),
        entry(forecasts=[Forecast(mean=50.0, p50=0.0, p90=0.0, p95=10.0)]),
        entry(window_seconds=0.0),
        entry(offered=0.0, admitted=900.0, requests=90, cost=Spread(mean=10.0, p50=10.0, p95=10.0)),
    ],
    ids=["usual", "idle", "backlog served", "backlog refused", "settled", "flood", "skewed", "no time", "retries"],
)
def test_what_an_honest_sidecar_may_say(honest: PolicyReport) -> None:
    assert impossible(honest, carried=120.0, largest_request=10.0, max_rate=400.0) is None


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        (entry(offered=1e12), "it reports 1e+12 tokens offered in 10.0 s, of 4e+05/s at most"),
        (
            entry(forecasts=[Forecast(mean=1e12, p50=1.0, p90=1.0, p95=1.0)]),
            "it forecasts 1e+12 tokens/s, of 4e+05 at most",
        ),
        (
            entry(forecasts=[RISING, Forecast(mean=20.0, p50=30.0, p90=20.0, p95=33.0)]),
            "it forecasts p50 30, p90 20, p95 33, which do not rise",
        ),
        (
            entry(forecasts=[Forecast(mean=20.0, p50=10.0, p90=34.0, p95=33.0)]),
            "it forecasts p50 10, p90 34, p95 33, which do not rise",
        ),
        (
            entry(offered=100.0, admitted=20.0, requests=0),
            "it reports 100 tokens offered by no request, 20 admitted",
        ),
        (entry(admitted=400.0), "it admitted and refused 400 tokens, of 320 that arrived, were offered or waited"),
        (entry(refused=200.0), "it admitted and refused 400 tokens, of 320 that arrived, were offered or waited"),
    ],
)
def test_what_no_honest_sidecar_says(report: PolicyReport, sentence: str) -> None:
    found = impossible(report, carried=120.0, largest_request=10.0, max_rate=400.0)
    assert found == Finding("Impossible", sentence, "Clamp")


def test_after_a_gap_nobody_knows_what_waited() -> None:
    assert impossible(entry(admitted=9000.0), carried=None, largest_request=10.0, max_rate=400.0) is None
