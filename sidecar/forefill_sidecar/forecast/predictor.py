"""A model coupled with the quantiles of its own errors: what a report says of the coming windows."""

import math
from dataclasses import dataclass

from forefill_protocol.messages import Forecast
from forefill_sidecar import forecast
from forefill_sidecar.forecast import snapshot
from forefill_sidecar.forecast.quantiles import ResidualQuantiles
from forefill_sidecar.forecast.snapshot import Plain

SNAPSHOT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Band:
    """Where the value of the present window lies nine times in ten."""

    p05: float
    p95: float


class Predictor:
    """Forecasts the offered demand of one policy in one pod, tokens/s. `model` is one of `forecast.MODELS`."""

    def __init__(self, model: str, horizon_windows: int) -> None:
        if horizon_windows < 1:
            raise ValueError(f"horizon_windows is {horizon_windows}; it must be at least 1")
        self.name = model
        self.horizon = horizon_windows
        self._model = forecast.make(model)
        self._quantiles = [ResidualQuantiles() for _ in range(horizon_windows)]
        # Means as they were forecast, the newest first; empty where nothing was forecast.
        self._made: list[list[float]] = []

    def observe(self, rate: float) -> None:
        """Take the offered demand of the window that closed: score its forecasts, then learn from it."""
        if not (0.0 <= rate < math.inf):
            raise ValueError(f"rate is {rate}; it must be finite and at least 0")
        for ahead, means in enumerate(self._made):
            if means:
                self._quantiles[ahead].observe(rate - means[ahead])
        self._model.observe(rate)
        self._remember(self._model.forecast(self.horizon))

    def skip(self, windows: int) -> None:
        """Let windows pass that nobody measured. They are neither scored nor taken for silence."""
        if windows < 0:
            raise ValueError(f"windows is {windows}; it must be at least 0")
        self._model.skip(windows)
        for _ in range(min(windows, self.horizon)):
            self._remember([])

    def _remember(self, means: list[float]) -> None:
        self._made.insert(0, means)
        del self._made[self.horizon :]

    def forecasts(self) -> list[Forecast]:
        """One forecast a coming window, nearest first, with p50 <= p90 <= p95; zeros before any value."""
        means = self._model.forecast(self.horizon)
        return [
            self._forecast(mean, quantiles) for mean, quantiles in zip(means, self._quantiles, strict=True)
        ]

    @staticmethod
    def _forecast(mean: float, quantiles: ResidualQuantiles) -> Forecast:
        _, p50, p90, p95 = quantiles.around(mean)
        return Forecast(mean=mean, p50=p50, p90=p90, p95=p95)

    def band(self) -> Band | None:
        """The band around the forecast of the present window; None until a forecast has been scored."""
        nearest = self._quantiles[0]
        if not nearest.seen:
            return None
        low, _, _, high = nearest.around(self._model.forecast(1)[0])
        return Band(p05=low, p95=high)

    def snapshot(self) -> Plain:
        """Everything learned, as plain values. Forecasts not yet scored stay behind: a restart is a gap."""
        return {
            "version": SNAPSHOT_VERSION,
            "model": self.name,
            "state": snapshot.take(self._model),
            "quantiles": snapshot.take(self._quantiles),
        }

    def restore(self, plain: Plain) -> None:
        """Take up what `snapshot` gave. ValueError, nothing changed, when version, model or shape differ."""
        if not isinstance(plain, dict) or plain.get("version") != SNAPSHOT_VERSION:
            raise ValueError(f"the snapshot is not of version {SNAPSHOT_VERSION}")
        if plain.get("model") != self.name:
            raise ValueError(f"the snapshot is of model {plain.get('model')!r}, not {self.name!r}")
        model, quantiles = forecast.make(self.name), [ResidualQuantiles() for _ in range(self.horizon)]
        snapshot.put(model, plain.get("state"))
        snapshot.put(quantiles, plain.get("quantiles"))
        self._model, self._quantiles, self._made = model, quantiles, []
