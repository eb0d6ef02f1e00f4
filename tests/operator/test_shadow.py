import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_operator.shadow import Shadow

RATES = st.lists(st.floats(0.0, 1e12), min_size=1, max_size=60)


def fed(rates: list[float]) -> Shadow:
    shadow = Shadow()
    for rate in rates:
        shadow.observe(rate)
    return shadow


def test_before_any_window_it_expects_nothing() -> None:
    shadow = Shadow()
    assert (shadow.mean, shadow.p90, shadow.p95, shadow.seen) == (0.0, 0.0, 0.0, 0)


def test_constant_demand_is_forecast_exactly() -> None:
    shadow = fed([7.0] * 50)
    assert (shadow.mean, shadow.p95) == (7.0, 7.0)


def test_a_first_window_is_expected_again() -> None:
    assert fed([12.0]).mean == 12.0


def test_demand_that_swings_back_and_forth_is_expected_to_swing() -> None:
    shadow = fed([10.0, 30.0] * 100)
    assert shadow.phi < -0.4
    assert shadow.mean < 20.0


def test_demand_that_persists_is_followed_and_noise_is_not() -> None:
    generator = random.Random(1)
    noise = fed([generator.gauss(100.0, 10.0) for _ in range(500)])
    slow, value = [], 100.0
    for _ in range(500):
        value += 0.95 * (100.0 - value) * 0.05 + generator.gauss(0.0, 3.0)
        slow.append(value)
    assert abs(noise.phi) < 0.2
    assert fed(slow).phi > 0.6


@pytest.mark.parametrize("seed", range(5))
def test_its_quantiles_cover_what_they_name(seed: int) -> None:
    generator = random.Random(seed)
    shadow, covered90, covered95 = Shadow(), 0, 0
    for window in range(3100):
        rate = generator.gammavariate(2.0, 10.0)
        if window >= 100:
            covered90 += rate <= shadow.p90
            covered95 += rate <= shadow.p95
        shadow.observe(rate)
    assert covered90 / 3000 == pytest.approx(0.90, abs=0.015)
    assert covered95 / 3000 == pytest.approx(0.95, abs=0.015)


def test_a_night_of_rest_does_not_make_the_morning_look_safe() -> None:
    generator = random.Random(3)
    shadow = fed([generator.gauss(100.0, 20.0) for _ in range(200)])
    usual, unit = shadow.usual, shadow.unit
    for _ in range(3000):
        shadow.observe(0.0)
    assert shadow.mean < 1e-6
    assert shadow.usual > 0.2 * usual
    assert shadow.unit > 0.1 * unit
    assert shadow.p95 > 5.0


def test_one_monstrous_window_is_soon_forgotten() -> None:
    generator = random.Random(4)
    shadow = fed([generator.gauss(100.0, 10.0) for _ in range(300)])
    shadow.observe(1e9)
    for _ in range(300):
        shadow.observe(generator.gauss(100.0, 10.0))
    assert shadow.p95 < 1000.0


def test_after_a_gap_the_deviation_has_faded() -> None:
    shadow = fed([100.0] * 50 + [150.0] * 3)
    level, before = shadow.level, shadow.mean
    shadow.skip(1)
    assert abs(shadow.mean - level) <= abs(before - level)
    shadow.skip(1000)
    assert shadow.mean == pytest.approx(level, rel=1e-3)


@given(RATES)
def test_forecasts_are_ordered_finite_and_not_negative(rates: list[float]) -> None:
    shadow = Shadow()
    for rate in rates:
        shadow.observe(rate)
        assert 0.0 <= shadow.mean < float("inf")
        assert 0.0 <= shadow.p90 <= shadow.p95 < float("inf")


@given(RATES, st.floats(0.01, 100.0))
def test_the_unit_of_tokens_does_not_matter(rates: list[float], factor: float) -> None:
    plain, scaled = fed([10.0, *rates]), fed([factor * rate for rate in (10.0, *rates)])
    assert scaled.mean == pytest.approx(factor * plain.mean, rel=1e-6, abs=1e-6 * max(rates) * factor)


@given(RATES, RATES)
def test_the_future_changes_no_earlier_forecast(past: list[float], future: list[float]) -> None:
    shadow, told = Shadow(), []
    for rate in past:
        told.append(shadow.mean)
        shadow.observe(rate)
    again, told_again = Shadow(), []
    for rate in past + future:
        told_again.append(again.mean)
        again.observe(rate)
    assert told_again[: len(told)] == told
