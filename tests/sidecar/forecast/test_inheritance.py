import random
from typing import Any

import pytest
from msgspec.structs import replace

from forefill_protocol.policysettings import Inherited
from forefill_sidecar.forecast import MODELS
from forefill_sidecar.forecast.ensemble import EXPERTS
from forefill_sidecar.forecast.inheritance import NOISE, rehearsal, usual
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.forecast.season import DAY_SECONDS, Season

# Nights are quiet, noon is busy, weekends have half of it.
WEEKDAY = [0.4 if slot < 32 or slot >= 80 else 1.6 for slot in range(96)]
WORKLOAD = Inherited(interval_seconds=10.0, level=10.0, scale=2.0, weekday=WEEKDAY, weekend=[0.5] * 96)
NOON, NIGHT = DAY_SECONDS / 2, 2 * 3600.0


def newcomer(model: str = "Ensemble", second_of_week: float = NOON) -> Predictor:
    return Predictor(model, 3, Season(10.0, second_of_week))


@pytest.mark.parametrize(
    ("second_of_week", "rate"), [(NOON, 16.0), (NIGHT, 4.0), (5 * DAY_SECONDS + NOON, 5.0), (7 * DAY_SECONDS - 1, 5.0)]
)
def test_the_hour_says_what_is_usual(second_of_week: float, rate: float) -> None:
    assert usual(WORKLOAD, Season(10.0, second_of_week)) == rate


def test_a_kind_of_day_that_is_not_known_is_as_the_other_and_without_both_the_level_is_usual() -> None:
    sunday = Season(10.0, 6 * DAY_SECONDS + NOON)
    assert usual(replace(WORKLOAD, weekend=[]), sunday) == 16.0
    assert usual(replace(WORKLOAD, weekday=[], weekend=[]), sunday) == 10.0


def test_made_up_windows_have_the_level_and_the_error_of_the_hour() -> None:
    assert (sum(NOISE), sum(map(abs, NOISE))) == (pytest.approx(0.0), pytest.approx(len(NOISE)))
    windows = rehearsal(WORKLOAD, Season(10.0, NOON))
    assert sum(windows) / len(windows) == pytest.approx(16.0, abs=0.5)
    assert max(windows) - 16.0 == pytest.approx(2.9 * 2.0 * 1.6**0.5)
    assert set(rehearsal(replace(WORKLOAD, level=0.0, weekday=[], weekend=[], scale=0.0), Season())) == {0.0}


@pytest.mark.parametrize("model", MODELS)
def test_a_new_pod_forecasts_its_workload_before_its_first_window(model: str) -> None:
    predictor = newcomer(model)
    assert predictor.inherit(WORKLOAD)
    assert predictor.season.second_of_week == NOON
    nearest = predictor.forecasts()[0]
    assert nearest.mean == pytest.approx(16.0, rel=0.25)
    assert nearest.p50 <= nearest.p90 <= nearest.p95 <= 3 * 16.0
    assert nearest.p95 > 17.0


@pytest.mark.parametrize("model", MODELS)
def test_a_pod_that_is_unlike_its_workload_is_forecast_as_it_is_soon(model: str) -> None:
    predictor, generator = newcomer(model), random.Random(4)
    predictor.inherit(WORKLOAD)
    for _ in range(350):
        predictor.observe(generator.uniform(70.0, 90.0))
    assert predictor.forecasts()[0].mean == pytest.approx(80.0, rel=0.15)


@pytest.mark.parametrize("model", MODELS)
def test_a_pod_that_has_learned_something_goes_on_from_that(model: str) -> None:
    predictor = newcomer(model)
    predictor.observe(3.0)
    before = predictor.forecasts()
    assert not predictor.inherit(WORKLOAD)
    assert predictor.forecasts() == before


def test_coefficients_are_taken_up_and_survive_a_restart() -> None:
    fitted = replace(WORKLOAD, ar=[0.5, 0.2], ma=[], differenced=False)
    predictor, restarted = newcomer("Arima"), newcomer("Arima")
    predictor.inherit(fitted)
    for _ in range(50):
        predictor.observe(20.0)
    # x - 10 goes to 0.7 of itself a window; the level is the workload's.
    assert predictor._model.forecast(1) == [pytest.approx(10.0 + 0.7 * 10.0)]
    restarted.restore(predictor.snapshot(), missed_windows=0)
    assert restarted.forecasts() == predictor.forecasts()


@pytest.mark.parametrize(
    "change", [{"ar": [1.5]}, {"ma": [-3.0]}, {"ar": [0.9, 0.9], "differenced": False}], ids=["ar", "ma", "level"]
)
def test_coefficients_that_would_run_away_are_left(change: dict[str, Any]) -> None:
    one, other = newcomer("Arima"), newcomer("Arima")
    one.inherit(replace(WORKLOAD, **change))
    other.inherit(WORKLOAD)
    assert one.forecasts() == other.forecasts()


def test_experts_are_weighed_as_the_workloads_pods_came_to() -> None:
    last_value_only = [1.0] + [0.0] * (EXPERTS - 1)
    predictor = newcomer()
    predictor.inherit(replace(WORKLOAD, experts=last_value_only))
    assert predictor.forecasts()[0].p50 == pytest.approx(rehearsal(WORKLOAD, Season(10.0, NOON))[-1], rel=0.05)


def test_the_last_windows_of_another_pod_say_more_than_the_hour() -> None:
    predictor, sibling = newcomer(), newcomer()
    recent = [30.0 + step % 5 for step in range(40)]
    predictor.inherit(replace(WORKLOAD, recent=recent))
    for rate in recent:
        sibling.observe(rate)
    assert predictor.forecasts() == sibling.forecasts()


def test_weights_of_other_experts_are_left() -> None:
    one, other = newcomer(), newcomer()
    one.inherit(replace(WORKLOAD, experts=[0.5, 0.5]))
    other.inherit(WORKLOAD)
    assert one.forecasts() == other.forecasts()
