import random

import pytest

from forefill_protocol.messages import Forecast
from forefill_sidecar import scoring
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.scoring import Scored, Window


def test_falling_short_of_a_high_quantile_costs_nine_times_more() -> None:
    assert scoring.pinball_loss(0.9, 10.0, 12.0) == pytest.approx(1.8)
    assert scoring.pinball_loss(0.9, 12.0, 10.0) == pytest.approx(0.2)
    assert scoring.pinball_loss(0.9, 5.0, 5.0) == 0.0


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_the_quantile_of_a_sample_minimises_the_loss(quantile: float) -> None:
    generator = random.Random(1)
    sample = sorted(generator.expovariate(1.0) for _ in range(501))
    losses = {guess: sum(scoring.pinball_loss(quantile, guess, actual) for actual in sample) for guess in sample}
    assert min(losses, key=losses.__getitem__) == sample[int(quantile * 501)]


def test_forecasts_come_before_the_values_they_are_scored_against() -> None:
    rows = list(scoring.progressive_validation(Predictor("LastValue", 2), [Window(1.0), Window(2.0), Window(4.0)]))
    assert [(row.step, row.horizon, row.forecast.mean, row.actual) for row in rows] == [
        (1, 1, 1.0, 2.0),
        (2, 1, 2.0, 4.0),
        (2, 2, 1.0, 4.0),
    ]


def test_a_gap_is_not_scored_and_nothing_is_forecast_from_it() -> None:
    rows = list(scoring.progressive_validation(Predictor("LastValue", 2), [Window(1.0), Window(4.0, missed=1)]))
    assert [(row.step, row.horizon, row.forecast.mean) for row in rows] == [(1, 2, 1.0)]


def test_after_a_gap_as_long_as_the_horizon_nothing_is_scored() -> None:
    assert not list(scoring.progressive_validation(Predictor("LastValue", 2), [Window(1.0), Window(4.0, missed=2)]))


def test_averages_take_the_rows_of_one_horizon() -> None:
    sure = Forecast(mean=2.0, p50=2.0, p90=2.0, p95=2.0)
    rows = [Scored(1, 1, sure, 2.0), Scored(2, 1, sure, 4.0), Scored(2, 2, sure, 9.0)]
    assert scoring.mean_absolute_error(rows, 1) == 1.0
    assert scoring.coverage(rows, 1) == 0.5
    assert scoring.mean_pinball_loss(rows, 1) == pytest.approx((0.5 + 0.9 + 0.95) * 2.0 / 3.0 / 2.0)


def test_an_average_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no forecast of horizon 3"):
        scoring.coverage([], 3)
