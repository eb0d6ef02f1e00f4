"""The series that forecasts are measured on, read from the folder that FOREFILL_DATA names.

Values are tokens (or requests) a window. ServeGen publishes, for each client and ten minutes, a rate and a fitted
distribution of the times between requests; its series are drawn from them with a fixed seed.
"""

import csv
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
DAY_SECONDS = 86400
BLOCK_SECONDS = 600
SERVEGEN_DAY = 8
AGGREGATE_MIN_RATE = 0.05


@dataclass(frozen=True)
class Series:
    """One client's past. `second_of_week` is where its first window begins, counted from Monday 00:00 UTC."""

    name: str
    interval_seconds: float
    second_of_week: float
    values: list[float]

    @property
    def empty_share(self) -> float:
        return sum(value == 0.0 for value in self.values) / len(self.values)


def ten_seconds(data: Path) -> Iterator[Series]:
    """Every series that has windows of 10 s, the product's default."""
    for shape in ("diurnal", "bursty"):
        yield autothrottle(data, shape)
    yield azure(data, "azure_conv_requests", lambda row: 1.0)
    yield azure(data, "azure_conv_tokens", lambda row: float(row[1]) + float(row[2]))
    for path in servegen_clients(data):
        yield servegen(path, SERVEGEN_DAY)


def longer_windows(data: Path) -> Iterator[Series]:
    """Series with windows of a minute or five: coarser than the product's, kept to see where it breaks."""
    yield stamped("worldcup_60s", data / "worldcup98/worldcup98_per_minute_first30d.csv", 60.0)
    for path in sorted((data / "labelled/msft_cloud_monitoring/data/mongodb-application-rps").glob("*.csv")):
        yield stamped(f"microsoft_{path.stem}_60s", path, 60.0)
    for name in ("realTweets/Twitter_volume_AMZN", "realTweets/Twitter_volume_FB"):
        yield stamped(f"nab_{name.split('_')[-1]}_300s", data / f"labelled/nab/data/{name}.csv", 300.0)
    elb = data / "labelled/nab/data/realAWSCloudwatch/elb_request_count_8c0756.csv"
    yield stamped("nab_elb_300s", elb, 300.0)


def autothrottle(data: Path, shape: str) -> Series:
    seconds = np.loadtxt(data / f"request_rate_1s/autothrottle_{shape}.txt")
    return Series(f"autothrottle_{shape}", 10.0, 0.0, seconds.reshape(-1, 10).sum(axis=1).tolist())


def azure(data: Path, name: str, tokens: Callable[[list[str]], float]) -> Series:
    with (data / "llm_tokens/AzureLLMInferenceTrace_conv.csv").open(newline="") as lines:
        rows = list(csv.reader(lines))[1:]
    times = [datetime.fromisoformat(row[0][:26]).replace(tzinfo=UTC) for row in rows]
    windows = [int((time - times[0]).total_seconds() // 10.0) for time in times]
    values = np.bincount(windows, weights=[tokens(row) for row in rows])
    return Series(name, 10.0, second_of_week(times[0]), values.tolist()[:-1])


def stamped(name: str, path: Path, interval: float) -> Series:
    """Rows of `stamp,value,...`, taken as evenly spaced: these files have no holes that matter here."""
    with path.open(newline="") as lines:
        rows = list(csv.reader(lines))[1:]
    start = datetime.fromisoformat(rows[0][0].replace("Z", "")).replace(tzinfo=UTC)
    return Series(name, interval, second_of_week(start), [float(row[1]) for row in rows])


def second_of_week(time: datetime) -> float:
    return time.weekday() * DAY_SECONDS + (time - time.replace(hour=0, minute=0, second=0)).total_seconds()


def servegen_clients(data: Path) -> list[Path]:
    folder = data / "servegen/data/language/m-small"
    return sorted(folder.glob("chunk-*-trace.csv"), key=lambda path: int(path.stem.split("-")[1]))


def servegen(path: Path, day: int, days: int = 1, interval: float = 10.0, draw: str = "") -> Series:
    """`days` days of one client from day `day` on, counted from 0 as in the file; another `draw` has other arrivals."""
    client = path.stem.split("-")[1]
    generator = np.random.default_rng(zlib.crc32(f"{draw}{client}/{day}".encode()))
    with path.open(newline="") as lines:
        rows = [row for row in csv.reader(lines) if 0 <= float(row[0]) - day * DAY_SECONDS < days * DAY_SECONDS]
    values = np.zeros(int(days * DAY_SECONDS / interval))
    for row in rows:
        times = float(row[0]) - day * DAY_SECONDS + arrivals(row, generator)
        counts = np.bincount((times // interval).astype(int), minlength=len(values))
        values += counts[: len(values)]
    return Series(f"servegen_{client}", interval, float(day % 7) * DAY_SECONDS, values.tolist())


def arrivals(row: list[str], generator: np.random.Generator) -> Values:
    """Times within one block of ten minutes: a renewal process of the block's rate and fitted shape."""
    rate, distribution, shape = float(row[1]), row[3], float(row[4])
    if rate <= 0.0:
        return np.zeros(0)
    gaps = intervals(distribution, shape, int(rate * BLOCK_SECONDS * 1.5) + 50, generator) / rate
    times = np.cumsum(gaps) - gaps[0] * generator.random()
    inside: Values = times[times < BLOCK_SECONDS]
    return inside


def intervals(distribution: str, shape: float, count: int, generator: np.random.Generator) -> Values:
    """Times between requests with mean 1. Shapes under 0.2 have tails that ten minutes do not hold."""
    bounded = max(shape, 0.2)
    if distribution == "Gamma":
        return generator.gamma(bounded, 1.0 / bounded, count)
    return generator.weibull(bounded, count) / math.gamma(1.0 + 1.0 / bounded)
