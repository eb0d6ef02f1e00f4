"""Forecasts of offered demand. Each module holds one model, which sees one value a window and knows no clock.

Pure: a model reads nothing but what `observe` and `skip` tell it, so two models fed alike answer alike.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from forefill_sidecar.forecast.adaptive_smoothing import AdaptiveSmoothing
from forefill_sidecar.forecast.arima import Arima
from forefill_sidecar.forecast.damped_holt import DampedHolt
from forefill_sidecar.forecast.day_profile import DayProfile
from forefill_sidecar.forecast.ensemble import Ensemble
from forefill_sidecar.forecast.holt_winters import HoltWinters
from forefill_sidecar.forecast.intermittent import Intermittent
from forefill_sidecar.forecast.last_value import LastValue
from forefill_sidecar.forecast.mean_reversion import MeanReversion
from forefill_sidecar.forecast.season import Season
from forefill_sidecar.forecast.simple_smoothing import SimpleSmoothing


class Forecaster(Protocol):
    """One model. Values are finite and >= 0; their unit passes through."""

    def observe(self, value: float) -> None:
        """Take the value of the window that just closed."""

    def skip(self, windows: int) -> None:
        """Let `windows` pass of which nothing is known: a gap, not zeros."""

    def forecast(self, horizon: int) -> list[float]:
        """Expected values of the windows 1..horizon ahead, finite and >= 0. Changes nothing."""


MODELS: Mapping[str, Callable[[Season], Forecaster]] = {
    "Ensemble": lambda season: Ensemble(),
    "LastValue": lambda season: LastValue(),
    "SimpleSmoothing": lambda season: SimpleSmoothing(),
    "AdaptiveSmoothing": lambda season: AdaptiveSmoothing(),
    "DampedHolt": lambda season: DampedHolt(),
    "HoltWinters": HoltWinters,
    "Arima": lambda season: Arima(),
    "MeanReversion": lambda season: MeanReversion(),
    "DayProfile": DayProfile,
    "Intermittent": lambda season: Intermittent(),
}


def make(model: str, season: Season | None = None) -> Forecaster:
    """A fresh model by the name that a policy's `forecast.model` uses; ValueError names the allowed ones.

    `season` tells models that know days where they are; whoever feeds the model advances it after each window.
    """
    if model not in MODELS:
        raise ValueError(f"forecast.model {model!r} is not known; choose one of {', '.join(MODELS)}")
    return MODELS[model](season or Season())
