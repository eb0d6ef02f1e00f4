"""Series whose anomalies people labelled, read from the folder that FOREFILL_DATA names.

An event is a run of labelled points (Microsoft) or a labelled window (NAB). Every other series, in the order of their
names, serves to choose the detector's constants; the rest confirm them. The longest series, which has a third of all
events, is cut in half for that.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby, pairwise
from pathlib import Path
from statistics import median

DAY_SECONDS = 86400.0
CUT_IN_HALF = "api-01"

Event = tuple[int, int]


@dataclass(frozen=True)
class Labelled:
    """`times` in seconds; events as first and last index. Only indices from `first` to before `end` are scored."""

    name: str
    times: list[float]
    values: list[float]
    events: list[Event]
    first: int
    end: int

    @property
    def step_seconds(self) -> float:
        return median(after - before for before, after in pairwise(self.times))

    @property
    def days(self) -> float:
        return (self.times[self.end - 1] - self.times[self.first]) / DAY_SECONDS

    @property
    def scored_events(self) -> list[Event]:
        return [event for event in self.events if self.first <= event[0] < self.end]


def halves(data: Path) -> tuple[list[Labelled], list[Labelled]]:
    """The series to design on, and those to confirm on."""
    every = [*microsoft(data / "labelled/msft_cloud_monitoring/data"), *nab(data / "labelled/nab")]
    design, confirm = [], []
    for place, series in enumerate(every):
        if series.name == CUT_IN_HALF:
            middle = len(series.values) // 2
            design.append(part(series, 0, middle))
            confirm.append(part(series, middle, len(series.values)))
        else:
            (confirm if place % 2 else design).append(series)
    return design, confirm


def part(series: Labelled, first: int, end: int) -> Labelled:
    return Labelled(series.name, series.times, series.values, series.events, first, end)


def microsoft(folder: Path) -> Iterator[Labelled]:
    for path in sorted(folder.glob("*/*.csv")):
        rows = read(path)
        marked = groupby(range(len(rows)), key=lambda i: rows[i][2] == "1")
        runs = [list(indices) for is_anomaly, indices in marked if is_anomaly]
        yield whole(path.stem, rows, [(run[0], run[-1]) for run in runs])


def nab(folder: Path) -> Iterator[Labelled]:
    windows = json.loads((folder / "labels/combined_windows.json").read_text())
    for path in sorted((folder / "data").glob("*/*.csv")):
        rows = read(path)
        times = [seconds(row[0]) for row in rows]
        yield whole(path.stem, rows, list(inside(times, windows[f"{path.parent.name}/{path.name}"])))


def inside(times: Sequence[float], windows: Sequence[Sequence[str]]) -> Iterator[Event]:
    for window in windows:
        first, last = seconds(window[0]), seconds(window[1])
        indices = [i for i, time in enumerate(times) if first <= time <= last]
        if indices:
            yield indices[0], indices[-1]


def whole(name: str, rows: Sequence[Sequence[str]], events: list[Event]) -> Labelled:
    times, values = [seconds(row[0]) for row in rows], [float(row[1]) for row in rows]
    return Labelled(name, times, values, events, 0, len(values))


def read(path: Path) -> list[list[str]]:
    with path.open(newline="") as lines:
        return list(csv.reader(lines))[1:]


def seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp.strip().replace("Z", "")).replace(tzinfo=UTC).timestamp()
