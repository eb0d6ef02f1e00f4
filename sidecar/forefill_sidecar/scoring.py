"""How good forecasts are: losses, and progressive validation (forecast first, then learn). Pure."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from forefill_protocol.messages import Forecast
from forefill_sidecar.forecast.predictor import Predictor


class Window(NamedTuple):
    """What one window brought, and how many windows went unmeasured right before it."""

    value: float
    missed: int = 0


class Scored(NamedTuple):
    """A forecast made `horizon` windows before the `step`-th measured one, and what that one brought."""

    step: int
    horizon: int
    forecast: Forecast
    actual: float


def pinball_loss(quantile: float, forecast: float, actual: float) -> float:
    """Loss that the true `quantile` minimises: a unit short costs `quantile`, a unit over 1 - `quantile`."""
    return max(quantile * (actual - forecast), (quantile - 1.0) * (actual - forecast))


def progressive_validation(predictor: Predictor, windows: Iterable[Window]) -> Iterator[Scored]:
    """Every forecast beside its actual, in the order of `step` and then `horizon`.

    A forecast for a window is made before the value of that window or of any later one is read. Windows before the
    first value and missed ones are not scored.
    """
    made: list[list[Forecast]] = []
    for step, window in enumerate(windows):
        if window.missed:
            predictor.skip(window.missed)
            made = [[] for _ in range(min(window.missed, predictor.horizon))] + made
        for ahead, forecasts in enumerate(made[: predictor.horizon]):
            if forecasts:
                yield Scored(step, ahead + 1, forecasts[ahead], window.value)
        predictor.observe(window.value)
        made.insert(0, predictor.forecasts())
        del made[predictor.horizon :]


def mean_absolute_error(scored: Iterable[Scored], horizon: int) -> float:
    """Mean |actual - mean| over the rows of one horizon; ValueError when there are none."""
    return _average(scored, horizon, lambda row: abs(row.actual - row.forecast.mean))


def mean_pinball_loss(scored: Iterable[Scored], horizon: int) -> float:
    """Mean of `report_loss` over the rows of one horizon; ValueError when there are none."""
    return _average(scored, horizon, lambda row: report_loss(row.forecast, row.actual))


def report_loss(forecast: Forecast, actual: float) -> float:
    """Pinball loss of one forecast, averaged over its p50, p90 and p95."""
    pairs = ((0.5, forecast.p50), (0.9, forecast.p90), (0.95, forecast.p95))
    return sum(pinball_loss(quantile, value, actual) for quantile, value in pairs) / len(pairs)


def coverage(scored: Iterable[Scored], horizon: int) -> float:
    """Share of the rows of one horizon whose actual is at most p95; ValueError when there are none."""
    return _average(scored, horizon, lambda row: float(row.actual <= row.forecast.p95))


def _average(scored: Iterable[Scored], horizon: int, loss: Callable[[Scored], float]) -> float:
    losses = [loss(row) for row in scored if row.horizon == horizon]
    if not losses:
        raise ValueError(f"no forecast of horizon {horizon} was scored")
    return sum(losses) / len(losses)
