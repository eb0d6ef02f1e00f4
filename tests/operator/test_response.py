import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_operator.response import LONGEST, READINGS, Response

RATES = [100.0, 100.0, 140.0, 140.0, 90.0, 120.0, 150.0, 110.0, 80.0, 80.0, 130.0, 100.0, 95.0, 125.0, 60.0, 105.0]


def heard(lag: int, rates: list[float], capacity: float = 200.0) -> Response:
    """What is learned of a resource whose load shows `lag` intervals late."""
    response = Response()
    for index, rate in enumerate(rates):
        response = response.observed(rate, min(rates[max(index - lag, 0)] / capacity, 1.0))
    return response


@pytest.mark.parametrize("lag", range(LONGEST + 1))
def test_the_lag_is_the_one_at_which_the_load_follows_the_rate(lag: int) -> None:
    assert heard(lag, RATES).lag == lag


@pytest.mark.parametrize("lag", range(LONGEST + 1))
def test_a_resource_with_too_much_to_do_shows_its_lag_when_it_has_less(lag: int) -> None:
    assert heard(lag, [300.0] * 10 + [255.0, 217.0, 184.0, 157.0, 133.0] + [133.0] * LONGEST).lag == lag


def test_a_rate_that_stands_tells_no_lag() -> None:
    assert heard(3, [150.0] * 30) == Response((150.0,) * (READINGS + LONGEST), (0.75,) * (READINGS + LONGEST), 0)


def test_a_lag_that_is_known_stays_while_nothing_moves() -> None:
    assert heard(3, RATES + [100.0] * 40).lag == 3


def test_a_load_that_others_make_tells_no_lag() -> None:
    response = heard(2, RATES)
    for index in range(READINGS):
        response = response.observed(100.0, (0.1, 0.2, 0.9, 0.6)[index % 4])
    assert response.lag == 0


def test_a_late_reading_is_carried_over_to_the_rate_of_now() -> None:
    response = heard(2, [*RATES, 120.0, 100.0, 90.0])
    assert response.loads[-1] == 0.6
    assert response.load_at(90.0) == pytest.approx(0.45)
    assert response.load_at(180.0) == pytest.approx(0.9)


def test_a_saturated_reading_stands_for_every_rate() -> None:
    assert heard(2, [*RATES, 250.0, 100.0, 90.0]).load_at(90.0) == 1.0


def test_without_a_lag_a_reading_is_the_load_of_now() -> None:
    assert heard(0, RATES).load_at(1.0) == heard(0, RATES).loads[-1]


def test_a_rate_is_proven_by_a_load_below_the_bound_as_far_as_the_newest_reading_agrees() -> None:
    rates = (240.0, 200.0, 150.0, 100.0, 60.0, 60.0)
    assert Response(rates, (1.0, 1.0, 1.0, 1.0, 0.75, 0.5), 2).proven(0.8) == 150.0
    assert Response(rates, (1.0, 1.0, 1.0, 1.0, 0.75, 0.7), 2).proven(0.8) == pytest.approx(100.0 * 0.8 / 0.7)
    assert Response(rates, (1.0, 1.0, 1.0, 1.0, 0.75, 0.5), 0).proven(0.8) == 0.0


def test_a_load_outlasts_a_cut_when_it_is_still_over_an_interval_after_the_cut_should_show() -> None:
    rates = (100.0,) * 5
    assert Response(rates, (0.8, 0.9, 0.9, 0.9, 0.9), 2).outlasts(0.85)
    assert not Response(rates, (0.8, 0.8, 0.9, 0.9, 0.9), 2).outlasts(0.85)
    assert not Response(rates[:3], (0.9, 0.9, 0.9), 2).outlasts(0.85)


def test_an_outage_of_the_metric_leaves_the_lag_and_nothing_else() -> None:
    assert heard(4, RATES).forgotten() == Response(lag=4)


@given(st.lists(st.tuples(st.floats(0.0, 1e12), st.floats(0.0, 1.0)), min_size=1, max_size=60), st.floats(0.0, 1e12))
def test_whatever_is_heard_the_answers_are_loads_and_rates(heard: list[tuple[float, float]], rate: float) -> None:
    response = Response()
    for admitted, load in heard:
        response = response.observed(admitted, load)
    assert 0 <= response.lag <= LONGEST
    assert len(response.rates) == len(response.loads) <= READINGS + LONGEST
    assert response.load_at(rate) >= 0.0
    assert 0.0 <= response.proven(0.8) <= max(admitted for admitted, _ in heard)
