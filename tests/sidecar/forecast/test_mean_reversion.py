import random

import pytest

from forefill_sidecar.forecast.mean_reversion import MeanReversion


def autoregression(phi: float, count: int) -> list[float]:
    generator = random.Random(12)
    deviation, values = 0.0, []
    for _ in range(count):
        deviation = phi * deviation + generator.gauss(0.0, 5.0)
        values.append(200.0 + deviation)
    return values


@pytest.mark.parametrize("phi", [-0.4, 0.0, 0.6, 0.9])
def test_finds_how_fast_deviations_fade(phi: float) -> None:
    model = MeanReversion(alpha=0.002, decay=0.999)
    for value in autoregression(phi, 20000):
        model.observe(value)
    assert model.phi() == pytest.approx(phi, abs=0.07)


def test_a_deviation_fades_by_phi_a_window() -> None:
    model = MeanReversion(level=100.0, deviation=40.0, product=0.5, square=1.0)
    assert model.forecast(3) == [120.0, 110.0, 105.0]
    model.skip(1)
    assert model.forecast(1) == [110.0]
