import pytest

from forefill_sidecar.forecast.adaptive_smoothing import AdaptiveSmoothing


def lag_after_step(model: AdaptiveSmoothing) -> float:
    for step in range(400):
        model.observe(10.0 if step % 2 else 12.0)
    for _ in range(3):
        model.observe(100.0)
    return 100.0 - model.forecast(1)[0]


def test_is_slow_on_noise_and_fast_after_a_step() -> None:
    model = AdaptiveSmoothing()
    assert lag_after_step(model) < 10.0
    for step in range(400):
        model.observe(10.0 if step % 2 else 12.0)
    assert model.forecast(1)[0] == pytest.approx(11.0, abs=0.6)
