"""Plain lines are read many at once, others one by one; nobody can tell the difference."""

import re
from collections.abc import Callable

import numpy as np
import pytest

from forefill_lab.simulator import demand
from forefill_lab.simulator.demand import CHUNK, Demand, Unusable

TICKS = CHUNK


def lines(ticks: int = TICKS) -> list[str]:
    rows = [f"{tick},{client},{tick % 7 + number}\n" for tick in range(ticks) for number, client in enumerate("ab")]
    return ["t,client,tokens\n", *rows]


def plain(read: Demand) -> tuple[object, ...]:
    return read.start, read.step, read.clients, read.tokens.tolist(), read.joins, read.leaves


def test_many_lines_come_to_what_they_say() -> None:
    read = demand.read(lines())

    expected = np.arange(TICKS)[:, None] % 7 + np.array([0.0, 1.0])
    assert plain(read) == (0.0, 1.0, ["a", "b"], expected.tolist(), [0, 0], [TICKS - 1, TICKS - 1])


@pytest.mark.parametrize(
    "changed",
    [
        lambda line: line.replace(",a,", ',"a",'),
        lambda line: line.replace(",", " , "),
        lambda line: line.replace("\n", "\r\n"),
        lambda line: line.replace("\n", ",more\n"),
        lambda line: line + "\n",
    ],
    ids=["quoted", "spaced", "windows", "wider", "blank"],
)
@pytest.mark.parametrize("at", [1, CHUNK + 1, 2 * TICKS - 1], ids=["first", "later", "last"])
def test_a_line_written_otherwise_changes_nothing(changed: Callable[[str], str], at: int) -> None:
    written = lines()
    written[at] = changed(written[at])

    assert plain(demand.read("".join(written).splitlines(keepends=True))) == plain(demand.read(lines()))


@pytest.mark.parametrize("at", [1, CHUNK, CHUNK + 1, 2 * TICKS], ids=str)
@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ("0,a,-1\n", "line {}: tokens is '-1'; it must be a number from 0 to 1e+12"),
        ("nan,a,1\n", "line {}: t is 'nan'; it must be a number from -1e+12 to 1e+12"),
        ("0,,1\n", "line {} has no client"),
        ("0,a\n", "line {} has 2 cells; the header names 3"),
    ],
)
def test_a_fault_is_named_by_its_line_wherever_it_lies(at: int, bad: str, sentence: str) -> None:
    written = lines()
    written[at] = bad

    with pytest.raises(Unusable, match=re.escape(sentence.format(at + 1))):
        demand.read(written)
