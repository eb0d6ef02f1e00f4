import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_operator.aggregate import Aggregate
from forefill_operator.spec import PredictionWeight

BOUNDS = PredictionWeight(initial=1.0, min=0.8, max=1.5)


def test_the_quantile_of_the_total_covers_what_it_names() -> None:
    generator, aggregate, covered = random.Random(1), Aggregate(0.95), 0
    for interval in range(6000):
        high = aggregate.predict(200.0)
        total = generator.gammavariate(16.0, 12.5)
        if interval >= 1000:
            covered += total <= high
        aggregate.observe(total, 10.0 * interval)
    assert covered / 5000 == pytest.approx(0.95, abs=0.01)
    assert aggregate.coverage == pytest.approx(0.95, abs=0.05)
    assert 0.3 < aggregate.headroom < 0.6


def test_a_bias_of_the_sum_is_absorbed() -> None:
    generator, aggregate, covered = random.Random(2), Aggregate(0.95), 0
    for interval in range(4000):
        high = aggregate.predict(200.0)
        total = generator.gauss(300.0, 10.0)
        if interval >= 1000:
            covered += total <= high
        aggregate.observe(total, 10.0 * interval)
    assert covered / 3000 == pytest.approx(0.95, abs=0.015)


def test_an_interval_that_was_not_predicted_is_not_scored() -> None:
    aggregate = Aggregate()
    aggregate.observe(1000.0, 0.0)
    assert (aggregate.predict(10.0), aggregate.coverage, aggregate.headroom) == (10.0, 0.95, 0.0)


def test_the_weight_begins_as_the_policy_says() -> None:
    assert Aggregate().weight(50.0, 100.0, BOUNDS) == 1.0


def test_what_base_covers_already_is_not_counted_twice() -> None:
    aggregate = Aggregate()
    for interval in range(500):
        aggregate.weight(100.0, 200.0, BOUNDS)
        aggregate.observe(200.0, 10.0 * interval)
    assert aggregate.weight(100.0, 200.0, BOUNDS) == BOUNDS.min


def test_the_weight_grows_until_it_covers_demand_beyond_the_forecast() -> None:
    aggregate = Aggregate()
    for interval in range(1000):
        aggregate.weight(0.0, 100.0, BOUNDS)
        aggregate.observe(130.0, 10.0 * interval)
    assert aggregate.weight(0.0, 100.0, BOUNDS) == pytest.approx(1.3, abs=0.02)


def test_the_weight_covers_its_quantile_of_intervals() -> None:
    generator, aggregate, covered = random.Random(3), Aggregate(0.95), 0
    for interval in range(5000):
        weight = aggregate.weight(0.0, 100.0, BOUNDS)
        total = generator.gauss(100.0, 15.0)
        if interval >= 500:
            covered += total <= 100.0 * weight
        aggregate.observe(total, 10.0 * interval)
    assert covered / 4500 == pytest.approx(0.95, abs=0.015)


@given(st.lists(st.tuples(st.floats(0.0, 1e12), st.floats(0.0, 1e12), st.floats(0.0, 1e12)), max_size=40))
def test_the_weight_stays_in_its_bounds_and_the_quantile_finite(steps: list[tuple[float, float, float]]) -> None:
    aggregate = Aggregate()
    for base, predicted, offered in steps:
        assert BOUNDS.min <= aggregate.weight(base, predicted, BOUNDS) <= BOUNDS.max
        assert 0.0 <= aggregate.predict(predicted) < float("inf")
        aggregate.observe(offered, 0.0)
        assert 0.0 <= aggregate.coverage <= 1.0
