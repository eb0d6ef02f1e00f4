"""The demand that is simulated: tokens by tick and client, read from a CSV file. Pure: lines to a value."""

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LARGEST = 1e12
COLUMNS = ("t", "client", "tokens")
# Times are a whole number of steps from the first one, give or take this part of a step.
JITTER = 1e-6


class Unusable(ValueError):
    """One sentence that names the line and what is allowed."""


@dataclass(frozen=True)
class Demand:
    """`tokens[tick, client]`; tick 0 begins at `start`, every tick lasts `step` seconds.

    A client joins at the tick `joins[client]` of its first row and is gone after `leaves[client]`, that of its last.
    """

    start: float
    step: float
    clients: Sequence[str]
    tokens: NDArray[np.float64]
    joins: Sequence[int]
    leaves: Sequence[int]

    @property
    def ticks(self) -> int:
        return int(self.tokens.shape[0])


def demand(tokens: NDArray[np.float64], step: float, clients: Sequence[str]) -> Demand:
    """Demand of clients that are there from the first tick to the last."""
    ticks = tokens.shape[0]
    return Demand(0.0, step, list(clients), tokens, [0] * len(clients), [ticks - 1] * len(clients))


def read(lines: Iterable[str]) -> Demand:
    """Raises Unusable."""
    times: dict[float, list[tuple[int, float, int]]] = {}
    indices: dict[str, int] = {}
    for line, cells in rows(lines, COLUMNS):
        time = number(line, "t", cells[0], least=-LARGEST)
        amount = number(line, "tokens", cells[2])
        name = cells[1]
        if not name:
            raise Unusable(f"line {line} has no client")
        index = indices.setdefault(name, len(indices))
        times.setdefault(time, []).append((index, amount, line))
    if len(times) < 2:
        raise Unusable(f"the file has {len(times)} ticks; two are the least that can be simulated")
    return _tabulated(times, list(indices))


def _tabulated(times: dict[float, list[tuple[int, float, int]]], clients: list[str]) -> Demand:
    order = sorted(times)
    step = order[1] - order[0]
    tokens = np.zeros((len(order), len(clients)))
    joins, leaves, seen = [len(order)] * len(clients), [0] * len(clients), [-1] * len(clients)
    for tick, time in enumerate(order):
        expected = order[0] + tick * step
        if abs(time - expected) > JITTER * step * max(1, tick):
            line = times[time][0][2]
            raise Unusable(f"line {line}: t is {time:g}, but ticks are {step:g} s apart and {expected:g} is missing")
        for index, amount, line in times[time]:
            if seen[index] == tick:
                raise Unusable(f"line {line}: client {clients[index]} has a second row for t {time:g}")
            seen[index] = tick
            tokens[tick, index] = amount
            joins[index] = min(joins[index], tick)
            leaves[index] = tick
    return Demand(order[0], step, clients, tokens, joins, leaves)


def rows(lines: Iterable[str], columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Cells of `columns` in their order, stripped, with the number of the line. Blank lines are left out."""
    reader = csv.reader(lines)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        for column in columns:
            if column not in header:
                named = ", ".join(header) if any(header) else "nothing"
                raise Unusable(f"there is no column {column!r}; the first line names {named}")
        places = [header.index(column) for column in columns]
        width = max(places) + 1
        for row in reader:
            if row:
                if len(row) < width:
                    raise Unusable(f"line {reader.line_num} has {len(row)} cells; the header names {len(header)}")
                yield reader.line_num, [row[place].strip() for place in places]
    except csv.Error as error:
        raise Unusable(f"line {reader.line_num} is not CSV: {error}") from None


def number(line: int, column: str, text: str, least: float = 0.0) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= LARGEST:
        lowest = "0" if least == 0.0 else f"{least:g}"
        raise Unusable(f"line {line}: {column} is {text!r}; it must be a number from {lowest} to {LARGEST:g}")
    return value
