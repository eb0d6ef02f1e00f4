"""DEMAND.csv becomes a table of ticks and clients, or one sentence."""

import pytest

from forefill_lab.simulator import demand
from forefill_lab.simulator.demand import Unusable


def test_rows_may_come_in_any_order_and_columns_too() -> None:
    read = demand.read(["client,tokens,t", "a,2,10", "b,1,12", "a,0,12", "b,3,11"])
    assert (read.start, read.step, read.clients) == (10.0, 1.0, ["a", "b"])
    assert read.tokens.tolist() == [[2.0, 0.0], [0.0, 3.0], [0.0, 1.0]]


def test_a_client_is_there_from_its_first_row_to_its_last() -> None:
    read = demand.read(["t,client,tokens", "0,a,1", "1,b,1", "2,b,1", "3,a,1"])
    assert (read.joins, read.leaves) == ([0, 1], [3, 2])


def test_steps_of_any_length_are_taken() -> None:
    read = demand.read(["t,client,tokens", *(f"{0.1 * tick},a,1" for tick in range(1000))])
    assert read.step == pytest.approx(0.1)
    assert read.ticks == 1000


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([], "there is no column 't'; the first line names nothing"),
        (["t,name,tokens", "0,a,1"], "there is no column 'client'; the first line names t, name, tokens"),
        (["t,client,tokens", "0,a,1"], "the file has 1 ticks; two are the least that can be simulated"),
        (["t,client,tokens", "0,a,nan", "1,a,1"], "line 2: tokens is 'nan'; it must be a number from 0 to 1e+12"),
        (["t,client,tokens", "0,a,-1", "1,a,1"], "line 2: tokens is '-1'; it must be a number from 0 to 1e+12"),
        (["t,client,tokens", "0,a,1", "1,a,inf"], "line 3: tokens is 'inf'; it must be a number from 0 to 1e+12"),
        (["t,client,tokens", "0,a,1", "1,a,many"], "line 3: tokens is 'many'; it must be a number from 0 to 1e+12"),
        (["t,client,tokens", "0,a,1", "1,a"], "line 3 has 2 cells; the header names 3"),
        (["t,client,tokens", "0,a,1", "1,,1"], "line 3 has no client"),
        (
            ["t,client,tokens", "0,a,1", "1,a,1", "2.5,a,1"],
            "line 4: t is 2.5, but ticks are 1 s apart and 2 is missing",
        ),
        (["t,client,tokens", "0,a,1", "1,a,1", "3,a,1"], "line 4: t is 3, but ticks are 1 s apart and 2 is missing"),
        (["t,client,tokens", "0,a,1", "1,a,1", "1,a,2"], "line 4: client a has a second row for t 1"),
    ],
)
def test_what_can_not_be_used_is_named_by_its_line(lines: list[str], sentence: str) -> None:
    with pytest.raises(Unusable) as refused:
        demand.read(lines)
    assert str(refused.value) == sentence
