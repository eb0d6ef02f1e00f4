import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_operator import recall
from forefill_operator.recall import Cut

RATES = st.floats(0.0, 1e6)


def cuts(granted: list[float], planned: list[float], needed: float) -> list[Cut]:
    return recall.cuts(np.array(granted), np.array(planned), np.arange(10, 10 + len(granted)), needed)


@pytest.mark.parametrize(
    ("needed", "expected"),
    [
        (0.0, []),
        (4.0, [Cut(12, 26.0)]),
        (12.0, [Cut(12, 20.0), Cut(10, 18.0)]),
        (99.0, [Cut(12, 20.0), Cut(10, 15.0), Cut(13, 36.0)]),
    ],
)
def test_who_has_most_to_give_is_asked_first_and_for_no_more_than_is_needed(needed: float, expected: list[Cut]) -> None:
    assert cuts([20.0, 10.0, 30.0, 40.0, 8.0], [15.0, 10.0, 20.0, 36.0, 7.0], needed) == expected


def test_who_fell_behind_a_plan_is_lined_up_by_how_much() -> None:
    granted, planned = np.array([10.0, 10.0, 99.0, 5.0]), np.array([12.0, 10.1, 90.0, 9.0])
    assert recall.furthest_behind(granted, planned, np.arange(4)) == [3, 0]


@given(st.lists(st.tuples(RATES, RATES), max_size=12), RATES)
def test_nobody_is_cut_below_its_plan(rows: list[tuple[float, float]], needed: float) -> None:
    granted, planned = [row[0] for row in rows], [row[1] for row in rows]
    made = cuts(granted, planned, needed)
    assert len(made) <= recall.MOST_RECALLED
    for cut in made:
        assert planned[cut.row - 10] - 1e-9 * granted[cut.row - 10] <= cut.rate <= granted[cut.row - 10]
    freed = sum(granted[cut.row - 10] - cut.rate for cut in made)
    assert freed <= needed * (1 + 1e-9) + 1e-6
