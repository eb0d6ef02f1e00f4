from array import array
from math import isnan, nan

from hypothesis import given
from hypothesis import strategies as st

from forefill_operator.profiles.history import WINDOWS, History, Stretch

RATES = st.integers(0, 1000).map(float)
STEPS = st.lists(st.one_of(st.tuples(RATES, RATES), st.integers(0, 7)), max_size=40)


def shown(values: "array[float]") -> list[float | None]:
    return [None if isnan(value) else value for value in values]


@given(STEPS)
def test_the_newest_windows_stay_in_their_order_with_gaps_between(steps: list[tuple[float, float] | int]) -> None:
    history, expected = History(16), list[tuple[float | None, float | None]]()
    for step in steps:
        if isinstance(step, int):
            history.skip(step)
            expected += [(None, None)] * (step if expected else 0)
        else:
            history.add(*step)
            expected.append(step)
    rates, told = history.ordered()
    assert list(zip(shown(rates), shown(told), strict=True)) == expected[-16:]
    assert len(history) == len(expected[-16:])


@given(STEPS, st.integers(0, 20))
def test_recent_windows_are_the_newest_run_without_a_gap(steps: list[tuple[float, float] | int], most: int) -> None:
    history = History(16)
    for step in steps:
        history.skip(step) if isinstance(step, int) else history.add(*step)
    run: list[float] = []
    for rate in history.ordered().rates:
        run = [] if isnan(rate) else [*run, rate]
    assert history.recent(most) == (run[-most:] if most else [])


def test_a_very_long_gap_costs_no_more_than_the_ring_is_long() -> None:
    history = History()
    history.add(1.0)
    history.skip(10**12)
    assert shown(history.ordered().rates) == [None] * WINDOWS


def test_what_was_never_forecast_is_not_a_number() -> None:
    history = History()
    history.add(2.0)
    assert str(history.ordered()) == str(Stretch(array("f", [2.0]), array("f", [nan])))
