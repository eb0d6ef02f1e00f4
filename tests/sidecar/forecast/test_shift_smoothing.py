import pytest

from forefill_sidecar.forecast.shift_smoothing import ShiftSmoothing


def noisy(level: float, count: int) -> list[float]:
    return [level + (1.0 if step % 2 else -1.0) for step in range(count)]


def fed(values: list[float]) -> ShiftSmoothing:
    model = ShiftSmoothing()
    for value in values:
        model.observe(value)
    return model


def test_two_values_at_another_level_are_a_shift() -> None:
    assert fed([*noisy(50.0, 100), 200.0, 202.0]).forecast(2) == [201.0, 201.0]


def test_one_value_alone_is_an_outlier() -> None:
    assert fed([*noisy(50.0, 100), 200.0, 50.0]).forecast(1)[0] == pytest.approx(50.0, abs=8.0)


def test_two_outliers_on_opposite_sides_are_no_shift() -> None:
    assert fed([*noisy(50.0, 100), 90.0, 10.0]).forecast(1)[0] == pytest.approx(50.0, abs=3.0)


def test_what_was_suspected_before_a_gap_is_not_confirmed_after_it() -> None:
    model = fed([*noisy(50.0, 100), 200.0])
    model.skip(10)
    model.observe(202.0)
    assert model.forecast(1)[0] < 100.0


def test_demand_that_wakes_from_silence_is_a_shift() -> None:
    assert fed([0.0] * 500 + [30.0, 34.0]).forecast(1) == [32.0]
