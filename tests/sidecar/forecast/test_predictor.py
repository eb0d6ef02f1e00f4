import json
import math
import random
from typing import Any

import pytest

from forefill_protocol.messages import Forecast
from forefill_sidecar import forecast
from forefill_sidecar.forecast.predictor import Band, Predictor
from forefill_sidecar.forecast.season import Season


def bursty(count: int, seed: int = 3) -> list[float]:
    generator = random.Random(seed)
    return [generator.gammavariate(1.5, 20.0) if generator.random() < 0.8 else 0.0 for _ in range(count)]


def fed(values: list[float], model: str = "SimpleSmoothing") -> Predictor:
    predictor = Predictor(model, 3)
    for value in values:
        predictor.observe(value)
    return predictor


def test_knows_nothing_before_the_first_value() -> None:
    predictor = Predictor("LastValue", 3)
    assert predictor.forecasts() == [Forecast(mean=0.0, p50=0.0, p90=0.0, p95=0.0)] * 3
    assert predictor.band() is None


@pytest.mark.parametrize("model", sorted(forecast.MODELS))
def test_quantiles_are_ordered_finite_and_not_negative(model: str) -> None:
    predictor = Predictor(model, 3)
    for value in bursty(1500):
        predictor.observe(value)
        for each in predictor.forecasts():
            assert 0.0 <= each.p50 <= each.p90 <= each.p95 < math.inf
            assert 0.0 <= each.mean < math.inf


@pytest.mark.parametrize("model", sorted(forecast.MODELS))
def test_the_future_changes_no_earlier_forecast_by_a_bit(model: str) -> None:
    values, disturbed = bursty(400), [*bursty(200), *bursty(200, seed=9)]
    one, other = Predictor(model, 3), Predictor(model, 3)
    for step, (value, changed) in enumerate(zip(values, disturbed, strict=True)):
        assert (one.forecasts() == other.forecasts()) is (step <= 200), step
        one.observe(value)
        other.observe(changed)


def test_the_band_of_the_present_window_lies_around_its_forecast() -> None:
    predictor = fed(bursty(500))
    nearest, band = predictor.forecasts()[0], predictor.band()
    assert isinstance(band, Band)
    assert band.high == nearest.p95
    assert band.low <= nearest.p50


def test_a_gap_moves_neither_means_nor_quantiles() -> None:
    predictor = fed(bursty(500))
    before = predictor.forecasts()
    predictor.skip(1000)
    assert predictor.forecasts() == before


def test_a_forecast_from_before_a_short_gap_is_scored_after_it() -> None:
    predictor = fed([10.0, 10.0], model="LastValue")
    predictor.skip(1)
    spread = predictor.forecasts()
    predictor.observe(30.0)
    assert predictor.forecasts()[0].p95 - 30.0 == spread[0].p95 - 10.0
    assert predictor.forecasts()[1].p95 - 30.0 > spread[1].p95 - 10.0


def test_a_forecast_from_before_a_long_gap_is_not_scored() -> None:
    predictor = fed([10.0] * 10, model="LastValue")
    predictor.skip(3)
    predictor.observe(30.0)
    assert predictor.forecasts() == [Forecast(mean=30.0, p50=30.0, p90=30.0, p95=30.0)] * 3


@pytest.mark.parametrize("model", sorted(forecast.MODELS))
def test_a_snapshot_goes_through_json_and_forecasts_alike(model: str) -> None:
    predictor, twin = fed(bursty(300), model), Predictor(model, 3)
    twin.align(predictor.season.second_of_week)
    twin.restore(json.loads(json.dumps(predictor.snapshot())), 0)
    assert twin.forecasts() == predictor.forecasts()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"version": 0}, "not of version"),
        ({"model": "LastValue"}, "of model 'LastValue', not 'SimpleSmoothing'"),
        ({"interval_seconds": 5.0}, "of windows of 5.0 s"),
        ({"state": {}}, "does not have the fields"),
        ({"errors": []}, "not a list of 3"),
    ],
)
def test_a_snapshot_that_does_not_fit_is_refused_and_changes_nothing(change: dict[str, Any], complaint: str) -> None:
    predictor = fed(bursty(300))
    before = predictor.snapshot()
    with pytest.raises(ValueError, match=complaint):
        predictor.restore(fed(bursty(50)).snapshot() | change, 0)
    assert predictor.snapshot() == before


def test_after_a_restart_the_clock_says_where_the_day_is() -> None:
    predictor = Predictor("DayProfile", 3, Season(900.0))
    for _ in range(3):
        for slot in range(96):
            predictor.observe(100.0 if slot == 40 else 10.0)
    twin = Predictor("DayProfile", 3, Season(900.0, 39 * 900.0))
    twin.restore(predictor.snapshot(), 39)
    assert [each.mean for each in twin.forecasts()] == pytest.approx([10.0, 100.0, 10.0])


def test_follows_the_clock_when_it_is_moved() -> None:
    predictor = Predictor("DayProfile", 1, Season(900.0))
    for _ in range(3):
        for slot in range(96):
            predictor.observe(100.0 if slot == 40 else 10.0)
    predictor.align(40 * 900.0)
    assert predictor.forecasts()[0].mean == pytest.approx(100.0)


def test_sparse_demand_is_not_forecast_as_none_at_all() -> None:
    """Its median is zero; the mean, which operators add up, stays within a tenth of the truth and chance."""
    generator = random.Random(4)
    values = [generator.expovariate(0.1) if generator.random() < 0.3 else 0.0 for _ in range(6000)]
    predictor, forecast_total = Predictor("Ensemble", 3), 0.0
    for step, value in enumerate(values):
        forecast_total += predictor.forecasts()[0].mean if step >= 2000 else 0.0
        predictor.observe(value)
    assert forecast_total == pytest.approx(sum(values[2000:]), rel=0.2)


@pytest.mark.parametrize("rate", [-1.0, math.nan, math.inf])
def test_a_rate_that_cannot_be_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="finite and at least 0"):
        Predictor("LastValue", 3).observe(rate)


def test_a_horizon_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="horizon_windows is 0"):
        Predictor("LastValue", 0)
