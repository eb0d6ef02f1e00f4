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


def beginning(at: float, names: Sequence[str]) -> Sample:
    """The moment before the first request."""
    return Sample(at, [Reading(name, 0, 0, 0, 0, 0.0, None, 0.0, 0.0) for name in names])


def sample_of(at: float, loads: Sequence[Load], figures: Sequence[Mapping[str, float]], before: Sample) -> Sample:
    """`figures` are the sidecars' metrics, in the order of the loads. Rates are over the time since `before`."""
    rows = zip(loads, figures, before.readings, strict=True)
    return Sample(at, [_reading(load, values, reading, at - before.at) for load, values, reading in rows])


def _reading(load: Load, values: Mapping[str, float], before: Reading, seconds: float) -> Reading:
    served, rejected = load.statuses[SERVED], load.statuses[REJECTED]
    return Reading(
        name=load.name,
        offered=load.sent,
        served=served,
        rejected=rejected,
        waiting=int(values.get("forefill_sidecar_waiting_requests", 0.0)),
        fill_rate=values.get("forefill_sidecar_fill_rate", 0.0),
        forecast=values.get("forefill_sidecar_forecast_tokens_per_second"),
        offered_rate=(load.sent - before.offered) / seconds,
        served_rate=(served - before.served) / seconds,
    )
