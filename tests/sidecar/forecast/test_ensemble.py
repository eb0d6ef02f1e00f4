import random

import pytest

from forefill_sidecar.forecast.ensemble import Ensemble
from forefill_sidecar.forecast.last_value import LastValue


def error_ratio(values: list[float], ahead: int) -> float:
    """Mean absolute error over that of the last value, from the 100th window on."""
    losses = []
    for model in (Ensemble(), LastValue()):
        made: list[float] = []
        for value in values:
            model.observe(value)
            made.append(model.forecast(ahead)[ahead - 1])
        pairs = zip(made[100:-ahead], values[100 + ahead :], strict=True)
        losses.append(sum(abs(forecast - actual) for forecast, actual in pairs))
    return losses[0] / losses[1]


def noise(count: int, seed: int) -> list[float]:
    generator = random.Random(seed)
    return [generator.gauss(100.0, 10.0) for _ in range(count)]


@pytest.mark.parametrize("ahead", [1, 2, 3, 5])
def test_comes_near_the_floor_on_noise_around_a_level(ahead: int) -> None:
    """No forecast of independent values can do better than 1/sqrt(2) = .707 of the last value's error."""
    assert error_ratio(noise(4000, 1), ahead) == pytest.approx(0.72, abs=0.02)


@pytest.mark.parametrize("ahead", [1, 2, 3, 5])
def test_is_no_worse_than_the_last_value_on_a_random_walk(ahead: int) -> None:
    level, values = 10000.0, []
    for step in noise(4000, 2):
        level += step - 100.0
        values.append(level)
    assert error_ratio(values, ahead) < 1.02


def test_follows_a_smooth_wave_better_than_the_last_value() -> None:
    values = [100.0 + 50.0 * ((step % 60) - 30.0) / 30.0 * (1.0 if step // 60 % 2 else -1.0) for step in range(3000)]
    assert error_ratio(values, 3) < 0.6


def test_after_steps_between_two_levels_it_believes_them() -> None:
    generator = random.Random(3)
    values = [generator.gauss(400.0 if step // 50 % 2 else 40.0, 4.0) for step in range(6000)]
    assert error_ratio(values, 1) < 0.95


def test_two_ahead_lies_between_one_and_three_on_a_trend() -> None:
    model = Ensemble()
    for step in range(300):
        model.observe(100.0 + 3.0 * step)
    one, two, three = model.forecast(3)
    assert one < two < three
