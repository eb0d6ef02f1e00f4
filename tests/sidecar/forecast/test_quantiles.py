import random

import pytest

from forefill_sidecar.forecast.quantiles import ResidualQuantiles


def covered(quantiles: ResidualQuantiles, errors: list[float], mean: float = 1e6) -> list[float]:
    """Shares of errors at or below each level, every level taken before its error is seen."""
    below = [0, 0, 0, 0]
    for error in errors:
        for i, level in enumerate(quantiles.around(mean)):
            below[i] += error <= level - mean
        quantiles.observe(error)
    return [count / len(errors) for count in below]


@pytest.mark.parametrize("spread", [0.001, 1.0, 1e5])
def test_levels_cover_what_they_say(spread: float) -> None:
    generator = random.Random(5)
    errors = [spread * (generator.expovariate(1.0) - 1.0) for _ in range(20000)]
    assert covered(ResidualQuantiles(), errors) == pytest.approx([0.05, 0.5, 0.9, 0.95], abs=0.012)


def test_coverage_holds_after_the_spread_grows_tenfold() -> None:
    generator = random.Random(6)
    quantiles = ResidualQuantiles()
    covered(quantiles, [generator.gauss(0.0, 1.0) for _ in range(2000)])
    assert covered(quantiles, [generator.gauss(0.0, 10.0) for _ in range(500)])[3] > 0.92


def test_a_run_of_exact_forecasts_does_not_blow_the_levels_up() -> None:
    generator = random.Random(7)
    quantiles = ResidualQuantiles()
    covered(quantiles, [generator.gauss(0.0, 1.0) for _ in range(500)])
    covered(quantiles, [0.0] * 5000)
    noisy = [generator.gauss(0.0, 1.0) for _ in range(3000)]
    assert covered(quantiles, noisy)[3] == pytest.approx(0.95, abs=0.02)
    assert max(quantiles.around(0.0)) < 5.0


def test_levels_are_ordered_and_not_negative() -> None:
    generator = random.Random(8)
    quantiles = ResidualQuantiles()
    for _ in range(3000):
        quantiles.observe(generator.choice([-5.0, 0.0, 0.0, 40.0]))
        levels = quantiles.around(2.0)
        assert levels == sorted(levels)
        assert levels[0] >= 0.0
