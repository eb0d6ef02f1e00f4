import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forefill_operator.profiles.audit import Coefficients
from forefill_operator.profiles.candidates import candidates, damped_trend, tamed
from forefill_operator.profiles.models import Course, damped_holt, simple_smoothing
from forefill_sidecar.forecast.arima import stable

NOISE = random.Random(7)
RATES = [max(NOISE.gauss(20.0, 4.0), 0.0) for _ in range(400)]
COURSE = Course(RATES, 0.0, 10.0)


def test_smoothing_is_an_arima() -> None:
    made = Coefficients([], [0.3 - 1.0]).run(COURSE)
    assert made[100:] == pytest.approx(simple_smoothing(COURSE, 0.3)[100:], rel=1e-6)


@pytest.mark.parametrize(("alpha", "beta", "phi"), [(0.3, 0.1, 0.9), (0.5, 0.4, 0.8), (0.1, 0.0, 0.98)])
def test_a_damped_trend_is_an_arima(alpha: float, beta: float, phi: float) -> None:
    made = damped_trend(alpha, beta, phi).run(COURSE)
    assert made[300:] == pytest.approx(damped_holt(COURSE, alpha, beta, phi)[300:], rel=1e-6)


def test_the_process_that_made_the_demand_is_found() -> None:
    noise, step, error, rates = random.Random(3), 0.0, 0.0, [1000.0]
    for _ in range(1500):
        shock = noise.gauss(0.0, 5.0)
        step, error = 0.5 * step + shock - 0.8 * error, shock
        rates.append(rates[-1] + step)
    found = next(each for each in candidates(rates) if (len(each.ar), len(each.ma)) == (1, 1))
    assert (found.ar[0], found.ma[0]) == (pytest.approx(0.5, abs=0.12), pytest.approx(-0.8, abs=0.1))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e9])
def test_whatever_its_unit_demand_is_fitted_to_what_a_sidecar_takes(scale: float) -> None:
    found = list(candidates([scale * rate for rate in RATES]))
    assert found
    assert all(is_taken(each) for each in found)


@pytest.mark.parametrize(
    "values", [[0.0] * 199 + [1.0], [1.0, 3.0] * 100, [float(n) for n in range(200)], [1e9, 0.0] * 100]
)
def test_odd_demand_is_fitted_to_what_a_sidecar_takes_or_not_at_all(values: list[float]) -> None:
    assert all(is_taken(each) for each in candidates(values))


def is_taken(made: Coefficients) -> bool:
    return stable(list(made.ar)) and stable([-each for each in made.ma])


@settings(deadline=None)
@given(st.lists(st.floats(-50.0, 50.0), max_size=4))
def test_what_is_tamed_dies_out(coefficients: list[float]) -> None:
    assert stable(tamed(coefficients))


def test_what_dies_out_fast_enough_stays_as_it_is() -> None:
    assert tamed([0.5, 0.2]) == [0.5, 0.2]
    assert tamed([1.0]) == [0.99]
