from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_sidecar.histogram import MAX_CLASSES, Distribution, Histogram


def test_without_values_there_is_no_spread() -> None:
    assert Histogram().spread() is None


@given(st.lists(st.floats(0.0, 1e9), min_size=1, max_size=200), st.sampled_from([0.5, 0.95]))
def test_a_quantile_is_within_three_percent_of_a_value_of_that_rank(values: list[float], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)

    exact = sorted(values)[max(0, -int(-share * len(values) // 1) - 1)]

    assert histogram.quantile(share) == pytest.approx(exact, rel=0.03, abs=1.1e-6)


def test_the_mean_is_exact() -> None:
    histogram = Histogram()
    for value in (1.0, 2.0, 6.0):
        histogram.add(value)

    spread = histogram.spread()

    assert spread is not None
    assert spread.mean == 3.0


@given(st.lists(st.floats(0.0, 1e300), max_size=500))
def test_memory_is_bounded_whatever_comes(values: list[float]) -> None:
    histogram = Histogram()
    for value in [*values, inf]:
        histogram.add(value)

    assert all(0 <= index < MAX_CLASSES for index in histogram.classes())
    assert len(histogram._unsorted) == 0


def test_a_distribution_counts_a_bound_with_its_class() -> None:
    distribution = Distribution(bounds=(1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        distribution.add(value)

    assert (distribution.counts, distribution.total) == ([2, 1, 1], 12.0)
