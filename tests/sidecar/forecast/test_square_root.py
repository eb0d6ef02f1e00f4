import pytest

from forefill_sidecar.forecast.mean_reversion import MeanReversion
from forefill_sidecar.forecast.square_root import SquareRoot


def test_squares_what_the_roots_forecast() -> None:
    model = SquareRoot(MeanReversion(level=6.0, deviation=2.0, product=0.5, square=1.0))
    assert model.forecast(2) == [49.0, 42.25]


def test_a_burst_moves_it_less_than_it_moves_the_mean() -> None:
    model, plain = SquareRoot(), MeanReversion()
    for value in [100.0] * 50 + [10000.0]:
        model.observe(value)
        plain.observe(value)
    assert model.forecast(1)[0] < 0.5 * plain.forecast(1)[0]
    assert model.forecast(1)[0] == pytest.approx(361.0)
