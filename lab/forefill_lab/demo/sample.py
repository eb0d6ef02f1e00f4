"""What the live table shows of one moment. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from forefill_lab.demo.load import Load
from forefill_lab.demo.results import REJECTED, SERVED


@dataclass(frozen=True, slots=True)
class Reading:
    """One client. Counts are from the beginning, rates in tokens/s; a fixed bucket has no forecast."""

    name: str
    offered: int
    served: int
    rejected: int
    waiting: int
    fill_rate: float
    forecast: float | None
    offered_rate: float
    served_rate: float


@dataclass(frozen=True, slots=True)
class Sample:
    """All clients at `at`, seconds from the first measured moment."""

    at: float
    readings: Sequence[Reading]

    @property
    def served_rate(self) -> float:
        return sum(reading.served_rate for reading in self.readings)


def sample_of(
    at: float, loads: Sequence[Load], figures: Sequence[Mapping[str, float]], before: Sample | None
) -> Sample:
    """`figures` are the sidecars' metrics, in the order of the loads. Rates are over the time since `before`."""
    earlier: Sequence[Reading | None] = before.readings if before else [None] * len(loads)
    seconds = at - before.at if before else 0.0
    rows = zip(loads, figures, earlier, strict=True)
    return Sample(at, [_reading(load, values, reading, seconds) for load, values, reading in rows])


def _reading(load: Load, values: Mapping[str, float], before: Reading | None, seconds: float) -> Reading:
    served, rejected = load.statuses[SERVED], load.statuses[REJECTED]
    return Reading(
        name=load.name,
        offered=load.sent,
        served=served,
        rejected=rejected,
        waiting=int(values.get("forefill_sidecar_waiting_requests", 0.0)),
        fill_rate=values.get("forefill_sidecar_fill_rate", 0.0),
        forecast=values.get("forefill_sidecar_forecast_tokens_per_second"),
        offered_rate=(load.sent - before.offered) / seconds if before else 0.0,
        served_rate=(served - before.served) / seconds if before else 0.0,
    )
