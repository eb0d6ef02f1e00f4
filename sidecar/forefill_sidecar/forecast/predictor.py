"""A model coupled with the quantiles of its own errors: what a report says of the coming windows."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from forefill_protocol.messages import Forecast
from forefill_protocol.policysettings import Inherited
from forefill_sidecar import forecast
from forefill_sidecar.forecast import inheritance, quantiles, snapshot
from forefill_sidecar.forecast.arima import Arima
from forefill_sidecar.forecast.quantiles import ErrorQuantiles
from forefill_sidecar.forecast.season import Season
from forefill_sidecar.forecast.simple_smoothing import SimpleSmoothing
from forefill_sidecar.forecast.snapshot import Plain

SNAPSHOT_VERSION = 1
LEVEL_PACE = 0.02
P90_UP_TO = 0.925


@dataclass(frozen=True, slots=True)
class Band:
    """What the present window is expected to bring, and what it rarely falls below or exceeds."""

    low: float
    mean: float
    high: float


class Issued(NamedTuple):
    """A point forecast of one window, and the error growth and size that its quantiles rest on."""

    point: float
    growth: float
    size: float


class Predictor:
    """Forecasts the offered demand of one policy in one pod, in tokens/s, by one of `forecast.MODELS`."""

    def __init__(self, model: str, horizon_windows: int, season: Season | None = None) -> None:
        if horizon_windows < 1:
            raise ValueError(f"horizon_windows is {horizon_windows}; it must be at least 1")
        self.name = model
        self.horizon = horizon_windows
        self.season = season or Season()
        self._model = forecast.make(model, self.season)
        self._level = SimpleSmoothing(LEVEL_PACE)
        self._errors = [ErrorQuantiles() for _ in range(horizon_windows)]
        # What was issued after each of the last windows, the newest first; empty where nothing was.
        self._past: list[list[Issued]] = []
        self._issued = self._issue()

    def observe(self, rate: float) -> None:
        """Take the offered demand of the window that closed: score its forecasts, then learn from it."""
        if not (0.0 <= rate < math.inf):
            raise ValueError(f"rate is {rate}; it must be finite and at least 0")
        for ahead, issued in enumerate(self._past):
            if issued:
                self._errors[ahead].observe(*issued[ahead], rate)
        self._model.observe(rate)
        self._level.observe(rate)
        self.season.advance(1)
        self._issued = self._issue()
        self._remember(self._issued)

    def skip(self, windows: int) -> None:
        """Let windows pass that nobody measured. They are neither scored nor taken for silence."""
        if windows < 0:
            raise ValueError(f"windows is {windows}; it must be at least 0")
        self._model.skip(windows)
        self.season.advance(windows)
        for _ in range(min(windows, self.horizon)):
            self._remember([])
        self._issued = self._issue()

    def _issue(self) -> list[Issued]:
        level = self._level.level
        points = self._model.forecast(self.horizon)
        growths = [quantiles.growth(point, level) for point in points]
        parts = zip(points, growths, self._errors, strict=True)
        return [Issued(point, growth, errors.size(growth)) for point, growth, errors in parts]

    def _remember(self, issued: list[Issued]) -> None:
        self._past.insert(0, issued)
        del self._past[self.horizon :]

    @property
    def mean(self) -> float:
        """Of the nearest forecast alone."""
        return max(0.0, self._issued[0].point + self._errors[0].correction(self._level.level))

    def forecasts(self) -> list[Forecast]:
        """One forecast a coming window, nearest first, with p50 <= p90 <= p95; zeros before any value."""
        level, made = self._level.level, []
        for (point, _, size), errors in zip(self._issued, self._errors, strict=True):
            mean = point + errors.correction(level)
            _, p50, p90, p95 = errors.around(point, size)
            made.append(Forecast(mean if mean > 0.0 else 0.0, p50, p90, p95))
        return made

    def band(self, quantile: float = 0.95) -> Band | None:
        """Around the forecast of the present window, up to its p95, or to p90 where `quantile` is nearer to that.

        None until a forecast has been scored.
        """
        nearest, issued = self._errors[0], self._issued[0]
        if not nearest.seen:
            return None
        low, _, p90, p95 = nearest.around(issued.point, issued.size)
        return Band(low, self.mean, p90 if quantile < P90_UP_TO else p95)

    def align(self, second_of_week: float) -> None:
        """Say where in the week, in the policy's time zone, the present window starts: after the clock moved."""
        self.season.align(second_of_week)
        self._issued = self._issue()

    def inherit(self, inherited: Inherited) -> bool:
        """Begin where the pod's workload is. False, and nothing changed, when something was learned already."""
        if self._level.seen:
            return False
        self._model = inheritance.prepared(self._model, inherited)
        present, rehearsed = self.season.second_of_week, inheritance.rehearsal(inherited, self.season)
        self.season.advance(-len(rehearsed))
        for rate in rehearsed:
            self.observe(rate)
        inheritance.weigh(self._model, inherited)
        # Forecast again, now by the inherited weights.
        self._model.skip(0)
        self.align(present)
        return True

    def snapshot(self) -> Plain:
        """Everything learned, as plain values. Forecasts not yet scored stay behind: a restart is a gap."""
        return {
            "version": SNAPSHOT_VERSION,
            "model": self.name,
            "interval_seconds": self.season.interval_seconds,
            "state": snapshot.take(self._model),
            "level": snapshot.take(self._level),
            "errors": snapshot.take(self._errors),
        }

    def restore(self, plain: Plain, missed_windows: int) -> None:
        """Take up what `snapshot` gave that many windows ago. ValueError, and nothing changed, when it is unlike."""
        present = self.season.second_of_week
        fresh = Predictor(self.name, self.horizon, self.season)
        try:
            fresh._take_up(plain)
        finally:
            self.season.align(present)
        fresh._model.skip(missed_windows)
        self._model, self._level, self._errors = fresh._model, fresh._level, fresh._errors
        self._past, self._issued = [], self._issue()

    def _take_up(self, plain: Plain) -> None:
        if not isinstance(plain, dict) or plain.get("version") != SNAPSHOT_VERSION:
            raise ValueError(f"the snapshot is not of version {SNAPSHOT_VERSION}")
        if plain.get("model") != self.name:
            raise ValueError(f"the snapshot is of model {plain.get('model')!r}, not {self.name!r}")
        if plain.get("interval_seconds") != self.season.interval_seconds:
            raise ValueError(f"the snapshot is of windows of {plain.get('interval_seconds')!r} s")
        if isinstance(self._model, Arima):
            self._model.resize(plain.get("state"))
        snapshot.put(self._model, plain.get("state"))
        snapshot.put(self._level, plain.get("level"))
        snapshot.put(self._errors, plain.get("errors"))
