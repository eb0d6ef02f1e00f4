import random

import pytest

from forefill_sidecar.forecast import snapshot
from forefill_sidecar.streaming_quantile import StreamingQuantile


def fed(tau: float, values: list[float]) -> StreamingQuantile:
    quantile = StreamingQuantile(tau)
    for value in values:
        quantile.observe(value)
    return quantile


@pytest.mark.parametrize("tau", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("shape", ["gauss", "lognormal", "uniform"])
def test_comes_near_the_quantile_of_the_whole_stream(tau: float, shape: str) -> None:
    generator = random.Random(1)
    draw = {
        "gauss": lambda: generator.gauss(100.0, 15.0),
        "lognormal": lambda: generator.lognormvariate(3.0, 1.0),
        "uniform": generator.random,
    }[shape]
    values = [draw() for _ in range(20000)]
    estimate = fed(tau, values).value()
    below = sum(value <= estimate for value in values) / len(values)
    assert below == pytest.approx(tau, abs=0.01)


@pytest.mark.parametrize(("values", "median"), [([], 0.0), ([4.0], 4.0), ([9.0, 1.0, 5.0], 5.0), ([7.0] * 50, 7.0)])
def test_is_exact_for_a_few_values(values: list[float], median: float) -> None:
    assert fed(0.5, values).value() == median


def test_a_snapshot_goes_on_alike() -> None:
    generator = random.Random(2)
    values = [generator.expovariate(1.0) for _ in range(300)]
    whole, restored = fed(0.95, values), StreamingQuantile(0.95)
    snapshot.put(restored, snapshot.take(fed(0.95, values[:150])))
    for value in values[150:]:
        restored.observe(value)
    assert restored == whole
