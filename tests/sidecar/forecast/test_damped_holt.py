import itertools

import pytest

from forefill_sidecar.forecast.damped_holt import DampedHolt


def ramp(model: DampedHolt) -> None:
    for step in range(60):
        model.observe(100.0 + 5.0 * step)


def test_goes_on_with_a_trend_that_fades() -> None:
    model = DampedHolt(0.95, 0.6, 0.95)
    ramp(model)
    means = model.forecast(200)
    steps = [after - before for before, after in itertools.pairwise(means)]
    assert means[0] == pytest.approx(395.0 + 5.0, abs=1.0)
    assert steps == sorted(steps, reverse=True)
    assert means[-1] - means[-2] < 0.01


def test_a_falling_trend_stops_at_zero() -> None:
    model = DampedHolt(0.95, 0.6, 0.95)
    for step in range(20):
        model.observe(100.0 - 5.0 * step)
    assert model.forecast(30)[-1] == 0.0


def test_a_trend_does_not_outlive_a_gap() -> None:
    model = DampedHolt(0.95, 0.6, 0.95)
    ramp(model)
    model.skip(500)
    assert model.forecast(3) == pytest.approx([395.0] * 3, abs=0.5)
