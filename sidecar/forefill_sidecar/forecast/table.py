"""One column of a CSV file as windows to forecast. Pure: takes lines, gives values or one sentence."""

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from forefill_sidecar.forecast.season import DAY_SECONDS
from forefill_sidecar.scoring import Window

LARGEST = 1e15
# A stamp may be off its place by this share of the interval: collectors are a little late.
JITTER = 0.1


class Unusable(ValueError):
    """One sentence that names the line, and what is allowed."""


@dataclass(frozen=True, slots=True)
class Table:
    """`second_of_week` is where the first window starts, counted from Monday 00:00 UTC."""

    windows: list[Window]
    second_of_week: float


def read(lines: Iterable[str], column: str, interval_seconds: float, time_column: str | None) -> Table:
    """The values of `column`, one a window. Stamps in `time_column` may leave windows out, which become gaps."""
    rows = _numbered(lines)
    _, header = next(rows, (1, []))
    if not header:
        raise Unusable("the file is empty; its first line must name the columns")
    at = _place(header, column)
    stamps_at = None if time_column is None else _place(header, time_column)
    windows: list[Window] = []
    first = before = None
    for line, row in rows:
        missed = 0
        if stamps_at is not None:
            stamp = _stamp(line, row, stamps_at, header[stamps_at])
            missed = _missed(line, before, stamp, interval_seconds)
            first, before = first or stamp, stamp
        windows.append(Window(_value(line, row, at, column), missed))
    if len(windows) < 2:
        raise Unusable(f"the file has {len(windows)} rows of values; two are the least that can be forecast")
    return Table(windows, _second_of_week(first) if first else 0.0)


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, each with its line number."""
    reader = csv.reader(lines)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise Unusable(f"line {reader.line_num} is not CSV: {error}") from None


def _place(header: list[str], column: str) -> int:
    if column not in header:
        raise Unusable(f"there is no column {column!r}; the first line names {', '.join(header)}")
    if header.count(column) > 1:
        raise Unusable(f"{column!r} is the name of {header.count(column)} columns; give each a name of its own")
    return header.index(column)


def _cell(line: int, row: list[str], at: int, column: str) -> str:
    if at >= len(row) or not row[at].strip():
        raise Unusable(f"line {line} has no {column}; leave the whole row out if the window was not measured")
    return row[at].strip()


def _value(line: int, row: list[str], at: int, column: str) -> float:
    text = _cell(line, row, at, column)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= LARGEST:
        raise Unusable(f"line {line}: {column} is {text!r}; it must be a number from 0 to {LARGEST:g}")
    return value


def _stamp(line: int, row: list[str], at: int, column: str) -> datetime:
    text = _cell(line, row, at, column)
    try:
        stamp = datetime.fromisoformat(text)
        return stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Unusable(f"line {line}: {column} is {text!r}; it must be an ISO 8601 time") from None


def _missed(line: int, before: datetime | None, stamp: datetime, interval_seconds: float) -> int:
    if before is None:
        return 0
    seconds = (stamp - before).total_seconds()
    steps = round(seconds / interval_seconds)
    if steps < 1 or abs(seconds - steps * interval_seconds) > JITTER * interval_seconds:
        raise Unusable(
            f"line {line} is {seconds:g} s after the one before; it must be {interval_seconds:g} s, or a multiple "
            "where windows were missed"
        )
    return steps - 1


def _second_of_week(stamp: datetime) -> float:
    midnight = stamp.replace(hour=0, minute=0, second=0, microsecond=0)
    return stamp.weekday() * DAY_SECONDS + (stamp - midnight).total_seconds()
