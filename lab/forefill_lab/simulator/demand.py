"""The demand that is simulated: tokens by tick and client, read from a CSV file. Pure: lines to a value."""

import csv
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

LARGEST = 1e12
COLUMNS = ("t", "client", "tokens")
# Lines that are read at once.
CHUNK = 10_000
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
    tokens: Floats
    joins: Sequence[int]
    leaves: Sequence[int]

    @property
    def ticks(self) -> int:
        return int(self.tokens.shape[0])


def demand(tokens: Floats, step: float, clients: Sequence[str]) -> Demand:
    """Demand of clients that are there from the first tick to the last."""
    ticks = tokens.shape[0]
    return Demand(0.0, step, list(clients), tokens, [0] * len(clients), [ticks - 1] * len(clients))


class _Rows:
    """What the file says, a number a row and column: millions of rows fit into memory."""

    def __init__(self) -> None:
        self.times, self.amounts = array("d"), array("d")
        self.clients, self.lines = array("q"), array("q")
        self.indices: dict[str, int] = {}
        self.read = 0

    def add(self, line: int, time: float, client: str, amount: float) -> None:
        self.times.append(time)
        self.amounts.append(amount)
        self.clients.append(self.indices.setdefault(client, len(self.indices)))
        self.lines.append(line)

    def take_plain(self, stream: Iterator[str], header: str) -> Iterator[str]:
        """Take many lines at once as long as they are numbers and names between commas; what is left of them."""
        names = [name.strip() for name in header.split(",")]
        self.read = 1
        if not set(COLUMNS) <= set(names):
            return stream
        while chunk := list(islice(stream, CHUNK)):
            if not self._take(chunk, [names.index(column) for column in COLUMNS], len(names)):
                return chain(chunk, stream)
            self.read += len(chunk)
        return stream

    def _take(self, chunk: Sequence[str], places: Sequence[int], width: int) -> bool:
        text = "".join(chunk).replace("\r\n", "\n")
        if '"' in text or "\r" in text or {line.count(",") for line in chunk} != {width - 1}:
            return False
        cells = text.removesuffix("\n").replace("\n", ",").split(",")
        time, client, tokens = (cells[place::width] for place in places)
        try:
            times, amounts = array("d", map(float, time)), array("d", map(float, tokens))
        except ValueError:
            return False
        clients = [*map(str.strip, client)]
        if not (all(clients) and _within(times, -LARGEST) and _within(amounts, 0.0)):
            return False
        self.times += times
        self.amounts += amounts
        indices = self.indices
        self.clients.extend([indices.setdefault(name, len(indices)) for name in clients])
        self.lines.extend(range(self.read + 1, self.read + 1 + len(chunk)))
        return True


def _within(values: Sequence[float], least: float) -> bool:
    column = np.array(values)
    return bool(((column >= least) & (column <= LARGEST)).all())


def read(lines: Iterable[str]) -> Demand:
    """Raises Unusable."""
    found, stream = _Rows(), iter(lines)
    header = next(stream, "")
    rest = found.take_plain(stream, header)
    for line, (time, client, tokens) in rows(chain([header], rest), COLUMNS, max(found.read - 1, 0)):
        if not client:
            raise Unusable(f"line {line} has no client")
        found.add(line, number(line, "t", time, -LARGEST), client, number(line, "tokens", tokens))
    times, ticks = np.unique(np.frombuffer(found.times), return_inverse=True)
    if len(times) < 2:
        raise Unusable(f"the file has {len(times)} ticks; two are the least that can be simulated")
    numbers, who = np.frombuffer(found.lines, np.int64), np.frombuffer(found.clients, np.int64)
    step = float(times[1] - times[0])
    _refuse_gaps(times, step, ticks, numbers)
    clients = list(found.indices)
    _refuse_repeats(ticks * len(clients) + who, numbers, clients, times)
    tokens_of = np.zeros((len(times), len(clients)))
    tokens_of[ticks, who] = np.frombuffer(found.amounts)
    joins, leaves = np.full(len(clients), len(times)), np.zeros(len(clients), np.int64)
    np.minimum.at(joins, who, ticks)
    np.maximum.at(leaves, who, ticks)
    return Demand(float(times[0]), step, clients, tokens_of, joins.tolist(), leaves.tolist())


def _refuse_gaps(times: Floats, step: float, ticks: Whole, lines: Whole) -> None:
    places = np.arange(len(times))
    expected = times[0] + places * step
    off = np.abs(times - expected) > JITTER * step * np.maximum(1, places)
    if off.any():
        tick = int(off.argmax())
        line = int(lines[ticks == tick].min())
        raise Unusable(
            f"line {line}: t is {times[tick]:g}, but ticks are {step:g} s apart and {expected[tick]:g} is missing"
        )


def _refuse_repeats(cells: Whole, lines: Whole, clients: Sequence[str], times: Floats) -> None:
    order = np.argsort(cells, kind="stable")
    again = cells[order][1:] == cells[order][:-1]
    if again.any():
        row = int(order[1:][again].min())
        tick, client = divmod(int(cells[row]), len(clients))
        raise Unusable(f"line {lines[row]}: client {clients[client]} has a second row for t {times[tick]:g}")


def rows(lines: Iterable[str], columns: Sequence[str], skipped: int = 0) -> Iterator[tuple[int, list[str]]]:
    """Cells of `columns` in their order, stripped, with the number of the line. Blank lines are left out.

    `skipped` lines after the first are not among `lines`.
    """
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
                line = reader.line_num + skipped
                if len(row) < width:
                    raise Unusable(f"line {line} has {len(row)} cells; the header names {len(header)}")
                yield line, [row[place].strip() for place in places]
    except csv.Error as error:
        raise Unusable(f"line {reader.line_num + skipped} is not CSV: {error}") from None


def number(line: int, column: str, text: str, least: float = 0.0) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= LARGEST:
        lowest = "0" if least == 0.0 else f"{least:g}"
        raise Unusable(f"line {line}: {column} is {text!r}; it must be a number from {lowest} to {LARGEST:g}")
    return value
