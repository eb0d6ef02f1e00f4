"""The operator's own versions of the models forecast what the sidecar's do."""

from math import isnan, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forefill_operator.profiles.models import MODELS, Course, arima
from forefill_sidecar import forecast
from forefill_sidecar.forecast import Forecaster
from forefill_sidecar.forecast.arima import Arima
from forefill_sidecar.forecast.season import Season

RATES = st.lists(st.one_of(st.just(nan), st.just(0.0), st.floats(0.01, 1000.0)), min_size=1, max_size=60)


def by_the_sidecar(model: Forecaster, season: Season, rates: list[float]) -> list[float]:
    made = []
    for rate in rates:
        made.append(model.forecast(1)[0])
        if isnan(rate):
            model.skip(1)
        else:
            model.observe(rate)
        season.advance(1)
    return made


@settings(deadline=None)
@given(RATES, st.sampled_from([10.0, 900.0, 20_000.0]), st.floats(0.0, 604_799.0))
@pytest.mark.parametrize("name", MODELS)
def test_a_model_forecasts_as_the_sidecars(name: str, rates: list[float], interval: float, second: float) -> None:
    season = Season(interval, second)
    expected = by_the_sidecar(forecast.make(name, season), season, rates)
    assert MODELS[name](Course(rates, second, interval)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(RATES, st.sampled_from([([0.3], [-0.7]), ([], [-0.8]), ([0.5, 0.2], []), ([0.6, -0.3], [-0.9, 0.1])]))
def test_an_arima_forecasts_as_the_sidecars(rates: list[float], coefficients: tuple[list[float], list[float]]) -> None:
    expected = by_the_sidecar(Arima(*coefficients), Season(), rates)
    assert arima(Course(rates, 0.0, 10.0), *coefficients) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_every_model_of_a_policy_is_audited() -> None:
    assert set(MODELS) | {"Arima", "Ensemble"} == set(forecast.MODELS)
