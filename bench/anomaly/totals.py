"""The operator's quantile of a total against the sum of the clients' own quantiles."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from bench.forecast import series

from forefill_operator.aggregate import Aggregate
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.forecast.season import Season

WARM_UP = 100


@dataclass(frozen=True)
class Total:
    """Shares of windows covered, and mean headroom over the sum of means in shares of it.

    `independent` is the headroom that normal and independent errors of the clients would need: the root of the sum of
    the squares of theirs.
    """

    day: int
    clients: int
    coverage: float
    headroom: float
    summed_coverage: float
    summed_headroom: float
    independent: float


def measure(data: Path, day: int) -> Total:
    clients = [path for path in series.servegen_clients(data) if mean_rate(path) > series.AGGREGATE_MIN_RATE]
    told = [forecasts(path, day) for path in clients]
    means, highs, offered = (sum(each[i] for each in told) for i in range(3))
    aggregate, predicted = Aggregate(0.95), []
    for window, (mean, total) in enumerate(zip(means.tolist(), offered.tolist(), strict=True)):
        predicted.append(aggregate.predict(mean))
        aggregate.observe(total, 10.0 * window)
    after = slice(WARM_UP, None)
    mean, high, summed, total = means[after], np.array(predicted)[after], highs[after], offered[after]
    squares = sum((each[1] - each[0])[after] ** 2 for each in told)
    return Total(
        day=day,
        clients=len(clients),
        coverage=float((total <= high).mean()),
        headroom=float((high - mean).sum() / mean.sum()),
        summed_coverage=float((total <= summed).mean()),
        summed_headroom=float((summed - mean).sum() / mean.sum()),
        independent=float(np.sqrt(squares).sum() / mean.sum()),
    )


def mean_rate(path: Path) -> float:
    """Requests/s over all days of the file: a row for each ten minutes."""
    with path.open(newline="") as lines:
        rates = [float(row[1]) for row in csv.reader(lines)]
    return sum(rates) / len(rates)


def forecasts(path: Path, day: int) -> tuple[series.Values, series.Values, series.Values]:
    """Mean and p95 of each window, forecast before it, and what it brought; tokens/s."""
    whole = series.servegen(path, day)
    predictor = Predictor("Ensemble", 3, Season(whole.interval_seconds, whole.second_of_week))
    means, highs = np.zeros(len(whole.values)), np.zeros(len(whole.values))
    rates = np.array(whole.values) / whole.interval_seconds
    for window, rate in enumerate(rates.tolist()):
        nearest = predictor.forecasts()[0]
        means[window], highs[window] = nearest.mean, nearest.p95
        predictor.observe(rate)
    return means, highs, rates
