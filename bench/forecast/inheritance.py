"""How well a new pod forecasts in its first hour: beside a pod that has run for a day, and beside one that inherits.

The new pod and the workload's other pod are two draws of the same demand: ServeGen's arrivals are drawn twice, each of
WorldCup's requests goes to one of two pods. What is inherited is what the operator's own code makes of the other
pod's reports of the day before.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench.forecast.measure import geometric_mean, ratio
from bench.forecast.series import DAY_SECONDS, SERVEGEN_DAY, Series, servegen, servegen_clients, stamped

from forefill_operator.profiles.calendar import SLOTS, Quarter
from forefill_operator.profiles.inheritance import inherited
from forefill_operator.profiles.past import AWAY, Past
from forefill_protocol.messages import Forecast, PolicyReport
from forefill_protocol.policysettings import Inherited
from forefill_sidecar import scoring
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.forecast.season import Season

HORIZONS = (1, 3)
# Below this share of busy windows a ratio of errors says nothing.
BUSY_SHARE = 0.2
HOURS = (0, 8, 16)

Rows = dict[tuple[int, int], tuple[Forecast, float]]


@dataclass(frozen=True)
class Start:
    """A pod that starts `begins` windows into `own`, whose workload has another pod that was offered `other`."""

    own: Series
    other: Series
    begins: int

    @property
    def day(self) -> int:
        return int(DAY_SECONDS / self.own.interval_seconds)

    @property
    def second_of_week(self) -> float:
        return self.own.second_of_week + self.begins * self.own.interval_seconds

    def hour(self) -> list[float]:
        return self.own.values[self.begins : self.begins + self.day // 24]


def starts(data: Path) -> Iterator[Start]:
    for path in servegen_clients(data):
        own = servegen(path, SERVEGEN_DAY, days=2)
        other = servegen(path, SERVEGEN_DAY, days=2, draw="other ")
        yield from _starts(own, other, [8640 + hour * 360 for hour in HOURS])
    whole = stamped("worldcup_60s", data / "worldcup98/worldcup98_per_minute_first30d.csv", 60.0)
    pods = _halves(whole)
    yield from _starts(*pods, [day * 1440 + hour * 60 for day in range(4, 29, 4) for hour in HOURS])


def _starts(own: Series, other: Series, places: Sequence[int]) -> Iterator[Start]:
    for place in places:
        start = Start(own, other, place)
        if np.mean(np.array(start.hour()) > 0.0) >= BUSY_SHARE:
            yield start


def _halves(whole: Series) -> tuple[Series, Series]:
    generator = np.random.default_rng(zlib.crc32(whole.name.encode()))
    one = generator.binomial(np.array(whole.values, dtype=np.int64), 0.5).astype(float)
    rest = np.array(whole.values) - one
    return (
        Series(whole.name, whole.interval_seconds, whole.second_of_week, one.tolist()),
        Series(whole.name, whole.interval_seconds, whole.second_of_week, rest.tolist()),
    )


def forecasts(predictor: Predictor, values: Sequence[float]) -> Rows:
    """By step and horizon, from the forecasts made before the first value on."""
    made, rows = [predictor.forecasts()], Rows()
    for step, value in enumerate(values):
        for ahead, each in enumerate(made[: predictor.horizon]):
            rows[step, ahead + 1] = each[ahead], value
        predictor.observe(value)
        made.insert(0, predictor.forecasts())
    return rows


def day_old(start: Start) -> Predictor:
    """A pod that has run for a day."""
    predictor = Predictor("Ensemble", max(HORIZONS), Season(start.own.interval_seconds, start.second_of_week))
    for value in start.own.values[start.begins - start.day : start.begins]:
        predictor.observe(value)
    return predictor


def learned(start: Start, is_live: bool) -> Inherited:
    """What an operator tells of the other pod's day before, from its reports; its last windows too when it runs."""
    interval, past = start.own.interval_seconds, Past(start.own.interval_seconds)
    for window, rate in enumerate(start.other.values[start.begins - start.day : start.begins], 1):
        now = window * interval
        entry = PolicyReport("bench/series", interval, rate * interval, rate * interval, 0.0, 0.0, 1, [])
        second = start.second_of_week - DAY_SECONDS + now - interval
        quarter = Quarter(int(second // DAY_SECONDS), False, int(second % DAY_SECONDS * SLOTS / DAY_SECONDS))
        past.hear("other", entry, quarter, now)
    found = inherited(past, "new", now if is_live else now + 2 * AWAY * interval)
    assert found is not None
    return found


def table(data: Path) -> Iterator[str]:
    """A new pod's error and pinball loss over those of a day-old one, geometric means over starts."""
    ratios: dict[tuple[str, str], list[list[float]]] = {}
    for start in starts(data):
        old = day_old(start)
        reference = forecasts(old, start.hour())
        for name, known in (
            ("nothing", None),
            ("days and error size", learned(start, is_live=False)),
            ("these and the other pod's last windows", learned(start, is_live=True)),
        ):
            season = Season(start.own.interval_seconds, start.second_of_week)
            new = Predictor("Ensemble", max(HORIZONS), season)
            if known:
                new.inherit(known)
            family = start.own.name.split("_")[0]
            ratios.setdefault((family, name), []).append(_ratios(forecasts(new, start.hour()), reference))
    yield "| series | starts | a new pod inherits | error h1 | h3 | loss h1 | h3 | error of the first 5 windows |"
    yield "|---|---|---|---|---|---|---|---|"
    for (family, name), rows in ratios.items():
        means = " | ".join(f"{geometric_mean(column):.2f}" for column in zip(*rows, strict=True))
        yield f"| {family} | {len(rows)} | {name} | {means} |"


def _ratios(rows: Rows, reference: Rows) -> list[float]:
    """Errors by horizon, losses by horizon, and the error of the first five windows."""
    errors = [_over(rows, reference, horizon, len(rows), _error) for horizon in HORIZONS]
    losses = [_over(rows, reference, horizon, len(rows), scoring.report_loss) for horizon in HORIZONS]
    return [*errors, *losses, _over(rows, reference, 1, 5, _error)]


def _error(forecast: Forecast, actual: float) -> float:
    return abs(actual - forecast.mean)


def _over(rows: Rows, reference: Rows, horizon: int, steps: int, loss: Callable[[Forecast, float], float]) -> float:
    chosen = [key for key in rows if key in reference and key[1] == horizon and key[0] < steps]
    own, other = (sum(loss(*each[key]) for key in chosen) for each in (rows, reference))
    return min(max(ratio(own, other), 0.1), 10.0)
