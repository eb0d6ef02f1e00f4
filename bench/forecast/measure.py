"""Scores of one model on one series. Pure, apart from reading the processor's clock for the cost."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log

import numpy as np
from bench.forecast.series import Series
from numpy.typing import NDArray

from forefill_sidecar import scoring
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.forecast.season import Season
from forefill_sidecar.scoring import Scored, Window

HORIZONS = (1, 3)
WARM_UP = 30
LEVELS = (0.5, 0.9, 0.95)
# Below this many windows with any demand a ratio to the last value says nothing.
FEWEST_ACTIVE = 60

Rows = list[Scored]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """Of one horizon. Ratios are to the last value with the series' own fixed residual quantiles (hindsight)."""

    error_ratio: float
    loss_ratio: float
    coverage: float
    bias: float


@dataclass(frozen=True)
class Result:
    """`scores` by horizon; `microseconds` of processor time a window, forecasts for three horizons included."""

    series: Series
    scores: dict[int, Score]
    microseconds: float


def worth_scoring(series: Series) -> bool:
    return sum(value > 0.0 for value in series.values) >= FEWEST_ACTIVE


def predict(model: str, series: Series) -> tuple[Rows, float]:
    """Forecasts of the sidecar's own code, and the cost of a window in microseconds."""
    predictor = Predictor(model, max(HORIZONS), Season(series.interval_seconds, series.second_of_week))
    windows = [Window(value) for value in series.values]
    began = time.process_time()
    rows = list(scoring.progressive_validation(predictor, windows))
    return rows, 1e6 * (time.process_time() - began) / len(windows)


def result(model: str, series: Series) -> Result:
    rows, microseconds = predict(model, series)
    return Result(series, {horizon: score(series, rows, horizon) for horizon in HORIZONS}, microseconds)


def score(series: Series, rows: Iterable[Scored], horizon: int) -> Score:
    """From row WARM_UP + `horizon` on, so that each row's last value was itself forecast from."""
    chosen = [row for row in rows if row.horizon == horizon and row.step >= WARM_UP + horizon]
    actual = np.array([row.actual for row in chosen])
    last = np.array([series.values[row.step - horizon] for row in chosen])
    mean = np.array([row.forecast.mean for row in chosen])
    quantiles = [np.array([getattr(row.forecast, name) for row in chosen]) for name in ("p50", "p90", "p95")]
    return Score(
        error_ratio=ratio(mean_absolute(actual - mean), mean_absolute(actual - last)),
        loss_ratio=ratio(loss(actual, quantiles), loss(actual, reference(actual, last))),
        coverage=float((actual <= quantiles[-1]).mean()),
        bias=ratio(float(mean.sum()), float(actual.sum())),
    )


def reference(actual: Values, last: Values) -> list[Values]:
    return [np.maximum(0.0, last + np.quantile(actual - last, level)) for level in LEVELS]


def mean_absolute(errors: Values) -> float:
    return float(np.abs(errors).mean())


def loss(actual: Values, quantiles: Sequence[Values]) -> float:
    pairs = zip(LEVELS, quantiles, strict=True)
    return float(sum(np.maximum(tau * (actual - q), (tau - 1.0) * (actual - q)).mean() for tau, q in pairs))


def ratio(value: float, base: float) -> float:
    return value / base if base > 0.0 else 1.0


def geometric_mean(values: Iterable[float]) -> float:
    logs = [log(max(value, 1e-9)) for value in values]
    return exp(sum(logs) / len(logs))


def floor(series: Series) -> float:
    """What a smoother that sees both neighbours leaves of the last value's error: no forecast can reach it."""
    values = np.array(series.values)
    middle = values[1:-1]
    weights = [_neighbours(values, reach) for reach in (1, 2, 4, 8, 16)]
    best = min(mean_absolute(middle - smooth) for smooth in weights)
    changes = mean_absolute(np.array([after - before for before, after in pairwise(series.values)]))
    return ratio(best, changes)


def _neighbours(values: Values, reach: int) -> Values:
    kernel = np.ones(2 * reach + 1)
    kernel[reach] = 0.0
    sums = np.convolve(values, kernel, mode="same")
    counts = np.convolve(np.ones_like(values), kernel, mode="same")
    smooth: Values = (sums / counts)[1:-1]
    return smooth
