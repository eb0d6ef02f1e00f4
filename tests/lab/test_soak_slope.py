from math import inf

import pytest

from forefill_lab.soak.slope import SHORTEST_SECONDS, Sample, Slope, slope


def samples(per_hour: float, seconds: float = SHORTEST_SECONDS, wobble: float = 0.0) -> list[Sample]:
    return [Sample(t, 5e7 + per_hour * t / 3600 + wobble * (t % 2)) for t in range(int(seconds) + 1)]


def test_a_line_is_found_exactly() -> None:
    found = slope(samples(3600.0))
    assert (found.mean, found.low, found.high) == pytest.approx((1.0, 1.0, 1.0), rel=1e-6)


@pytest.mark.parametrize(
    ("grown", "verdict"),
    [
        (samples(0.0), "flat"),
        (samples(-1e6), "flat"),
        (samples(100_000.0, wobble=1000.0), "flat"),
        (samples(5e6, wobble=1000.0), "growing"),
        (samples(0.0, seconds=SHORTEST_SECONDS - 1), "too short to tell"),
        (samples(190_000.0, wobble=3e6), "too short to tell"),
    ],
)
def test_a_verdict_needs_the_whole_interval(grown: list[Sample], verdict: str) -> None:
    assert slope(grown).verdict == verdict


def test_a_few_samples_tell_nothing() -> None:
    assert slope(samples(5e6, seconds=3)) == Slope(0.0, -inf, inf)
