"""EXPECT.csv becomes declarations, or one sentence."""

import pytest

from forefill_lab.simulator import demand, expect
from forefill_lab.simulator.demand import Unusable
from forefill_lab.simulator.expect import Declaration

DEMAND = demand.read(["t,client,tokens", *(f"{100 + tick},{name},1" for tick in range(9) for name in "ab")])


def test_neighbouring_ticks_known_at_one_moment_are_one_declaration() -> None:
    lines = ["known_at,t,client,tokens", "101,104,b,5", "101,105,b,5", "101,106,b,7", "100,104,a,5", "102,107,b,7"]
    assert expect.read(lines, DEMAND) == [
        Declaration(0.0, 0, 4.0, 1.0, 5.0),
        Declaration(1.0, 1, 4.0, 2.0, 10.0),
        Declaration(1.0, 1, 6.0, 1.0, 7.0),
        Declaration(2.0, 1, 7.0, 1.0, 7.0),
    ]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("101,104,z,5", "line 2: the demand has no client 'z'"),
        ("105,104,a,5", "line 2: known_at is 105, but must not be after t, which is 104"),
        ("nan,104,a,5", "line 2: known_at is 'nan'; it must be a number from -1e+12 to 1e+12"),
        ("101,104,a,-5", "line 2: tokens is '-5'; it must be a number from 0 to 1e+12"),
    ],
)
def test_what_can_not_be_used_is_named_by_its_line(row: str, sentence: str) -> None:
    with pytest.raises(Unusable) as refused:
        expect.read(["known_at,t,client,tokens", row], DEMAND)
    assert str(refused.value) == sentence
