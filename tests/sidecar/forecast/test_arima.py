import pytest

from forefill_sidecar.forecast.arima import Arima, stable
from forefill_sidecar.forecast.simple_smoothing import SimpleSmoothing


def test_without_ar_and_with_one_ma_it_is_exponential_smoothing() -> None:
    arima, smoothing = Arima(ar=[], ma=[-0.75]), SimpleSmoothing(alpha=0.25)
    values = [20.0, 35.0, 5.0, 60.0, 44.0, 12.0, 8.0]
    arima.observe(values[0])
    smoothing.seen, smoothing.level = 100, values[0]
    for value in values[1:]:
        arima.observe(value)
        smoothing.observe(value)
        assert arima.forecast(3) == pytest.approx(smoothing.forecast(3))


def test_an_autoregression_returns_to_its_mean() -> None:
    model = Arima(ar=[0.5], ma=[], differenced=False, mean=100.0)
    model.observe(180.0)
    assert model.forecast(3) == [140.0, 120.0, 110.0]


def test_two_lags_act_in_order() -> None:
    model = Arima(ar=[0.5, 0.25], ma=[], differenced=True)
    for value in (10.0, 14.0, 22.0):
        model.observe(value)
    assert model.forecast(2) == [22.0 + 5.0, 27.0 + 0.5 * 5.0 + 0.25 * 8.0]


@pytest.mark.parametrize(
    ("coefficients", "dies_out"),
    [([], True), ([0.9], True), ([1.0], False), ([-1.1], False), ([1.2, -0.4], True), ([0.5, 0.6], False)],
)
def test_stability_is_that_of_the_roots(coefficients: list[float], dies_out: bool) -> None:
    assert stable(coefficients) is dies_out


def test_a_process_that_would_run_away_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ar is .* not be stationary"):
        Arima(ar=[1.3])
    with pytest.raises(ValueError, match=r"ma is .* not be invertible"):
        Arima(ma=[1.3])
