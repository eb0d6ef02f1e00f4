import random

import pytest

from forefill_sidecar.forecast.quantiles import ErrorQuantiles


def covered(quantiles: ErrorQuantiles, errors: list[float], mean: float = 1e6) -> list[float]:
    """Shares of errors at or below each level, every level taken before its error is seen."""
    below = [0, 0, 0, 0]
    for error in errors:
        size = quantiles.size(1.0)
        for i, level in enumerate(quantiles.around(mean, size)):
            below[i] += error <= level - mean
        quantiles.observe(mean, 1.0, size, mean + error)
    return [count / len(errors) for count in below]


@pytest.mark.parametrize("spread", [0.001, 1.0, 1e5])
def test_levels_cover_what_they_say(spread: float) -> None:
    generator = random.Random(5)
    errors = [spread * (generator.expovariate(1.0) - 1.0) for _ in range(20000)]
    assert covered(ErrorQuantiles(), errors) == pytest.approx([0.05, 0.5, 0.9, 0.95], abs=0.012)


def test_coverage_holds_after_the_spread_grows_tenfold() -> None:
    generator = random.Random(6)
    quantiles = ErrorQuantiles()
    covered(quantiles, [generator.gauss(0.0, 1.0) for _ in range(2000)])
    assert covered(quantiles, [generator.gauss(0.0, 10.0) for _ in range(500)])[3] > 0.92


def test_a_run_of_exact_forecasts_does_not_blow_the_levels_up() -> None:
    generator = random.Random(7)
    quantiles = ErrorQuantiles()
    covered(quantiles, [generator.gauss(0.0, 1.0) for _ in range(500)])
    covered(quantiles, [0.0] * 5000)
    noisy = [generator.gauss(0.0, 1.0) for _ in range(3000)]
    assert covered(quantiles, noisy)[3] == pytest.approx(0.95, abs=0.02)
    assert max(quantiles.around(0.0, quantiles.size(1.0))) < 5.0


def test_levels_are_ordered_and_not_negative() -> None:
    generator = random.Random(8)
    quantiles = ErrorQuantiles()
    for _ in range(3000):
        size = quantiles.size(1.0)
        quantiles.observe(2.0, 1.0, size, generator.choice([0.0, 2.0, 2.0, 42.0]))
        levels = quantiles.around(2.0, quantiles.size(1.0))
        assert levels == sorted(levels)
        assert levels[0] >= 0.0
