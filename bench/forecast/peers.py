"""Other people's forecasters, asked on the same windows. Slow ones are refitted at a few dozen places only."""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from bench.forecast.series import Series
from numpy.typing import NDArray

Values = NDArray[np.float64]
# Takes everything known so far, gives means for three windows.
Fit = Callable[[Values], Sequence[float]]
HORIZON = 3
HISTORY = 360
ORIGINS = 60


@dataclass(frozen=True)
class Asked:
    """Mean absolute errors by horizon at the same origins: the peer's, and the milliseconds of a forecast."""

    errors: dict[int, float]
    milliseconds: float


def origins(series: Series) -> list[int]:
    """The last window known at each of ORIGINS places, spread over the busy part of the series."""
    values = np.array(series.values)
    ends = np.arange(min(HISTORY, len(values) // 2), len(values) - HORIZON)
    busy = ends[[values[end - 30 : end].any() for end in ends]]
    picked = np.linspace(0, len(busy) - 1, min(ORIGINS, len(busy))).astype(int)
    return [int(busy[each]) for each in picked]


def ask(fit: Fit, series: Series, at: Sequence[int]) -> Asked:
    values = np.array(series.values)
    errors: dict[int, list[float]] = {1: [], 3: []}
    began = time.process_time()
    for end in at:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            means = np.maximum(0.0, np.nan_to_num(np.asarray(fit(values[max(0, end - HISTORY + 1) : end + 1]))))
        for horizon, collected in errors.items():
            collected.append(abs(float(values[end + horizon] - means[horizon - 1])))
    spent = time.process_time() - began
    return Asked({h: float(np.mean(each)) for h, each in errors.items()}, 1e3 * spent / len(at))


def last_value(past: Values) -> Sequence[float]:
    return [float(past[-1])] * HORIZON


def statsmodels_smoothing(past: Values) -> Sequence[float]:
    from statsmodels.tsa.holtwinters import SimpleExpSmoothing

    fitted = SimpleExpSmoothing(past, initialization_method="estimated").fit()
    return [float(each) for each in fitted.forecast(HORIZON)]


def statsmodels_arima(past: Values) -> Sequence[float]:
    from statsmodels.tsa.arima.model import ARIMA

    return [float(each) for each in ARIMA(past, order=(1, 1, 1)).fit().forecast(HORIZON)]


def statsforecast_model(name: str) -> Fit:
    from statsforecast import models

    def fit(past: Values) -> Sequence[float]:
        made = getattr(models, name)().forecast(y=past, h=HORIZON)
        return [float(each) for each in made["mean"]]

    return fit


def river_snarimax(past: Values) -> Sequence[float]:
    from river.time_series import SNARIMAX

    model = SNARIMAX(p=1, d=1, q=1)
    for value in past:
        model.learn_one(float(value))
    return [float(each) for each in model.forecast(horizon=HORIZON)]


def river_holt(past: Values) -> Sequence[float]:
    from river.time_series import HoltWinters

    model = HoltWinters(alpha=0.3, beta=0.1)
    for value in past:
        model.learn_one(float(value))
    return [float(each) for each in model.forecast(horizon=HORIZON)]


PEERS: dict[str, Callable[[], Fit]] = {
    "statsmodels SimpleExpSmoothing": lambda: statsmodels_smoothing,
    "statsmodels ARIMA(1,1,1)": lambda: statsmodels_arima,
    "statsforecast AutoETS": lambda: statsforecast_model("AutoETS"),
    "statsforecast AutoTheta": lambda: statsforecast_model("AutoTheta"),
    "statsforecast AutoARIMA": lambda: statsforecast_model("AutoARIMA"),
    "river SNARIMAX(1,1,1)": lambda: river_snarimax,
    "river HoltWinters(.3,.1)": lambda: river_holt,
}
