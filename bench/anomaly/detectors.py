"""Detectors beside each other on labelled series: which events they find, and how often they cry wolf."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.anomaly.labelled import Labelled

from forefill_operator.anomaly.novelty import QUIET_SECONDS, Novelty
from forefill_operator.anomaly.sensitivity import SENSITIVITIES
from forefill_operator.shadow import Shadow

Detector = Callable[[Labelled], list[int]]
Z_PACE, Z_WARM_UP_WINDOWS = 0.01, 30


@dataclass(frozen=True)
class Found:
    """Of some series: events found, all events, alarms outside of events, and days watched."""

    hits: int
    events: int
    false_alarms: int
    days: float

    @property
    def recall(self) -> float:
        return self.hits / self.events

    @property
    def false_rate(self) -> float:
        return self.false_alarms / self.days


def evaluate(detector: Detector, every: Sequence[Labelled]) -> Found:
    """An event is found by an alarm inside it, and no alarm counts for more than one: there is no point adjustment."""
    parts = [score(series, detector(series)) for series in every]
    return total(parts)


def total(parts: Sequence[Found]) -> Found:
    return Found(
        sum(part.hits for part in parts),
        sum(part.events for part in parts),
        sum(part.false_alarms for part in parts),
        sum(part.days for part in parts),
    )


def score(series: Labelled, alarms: Sequence[int]) -> Found:
    scored = [alarm for alarm in alarms if series.first <= alarm < series.end]
    events = series.scored_events
    hits = sum(any(first <= alarm <= last for alarm in scored) for first, last in events)
    false = sum(not any(first <= alarm <= last for first, last in series.events) for alarm in scored)
    return Found(hits, len(events), false, series.days)


def novelty(sensitivity: str) -> Detector:
    """The operator's own, fed as the operator feeds it."""
    factor = SENSITIVITIES[sensitivity].ratio

    def run(series: Labelled) -> list[int]:
        watch, shadow, alarms, step = Novelty(), Shadow(), [], series.step_seconds
        for i, (time, value) in enumerate(zip(series.times, series.values, strict=True)):
            error = value - shadow.mean if shadow.seen else 0.0
            if watch.observe(value, error, step, factor, time):
                alarms.append(i)
            shadow.observe(value)
        return alarms

    return run


def z_score(threshold: float) -> Detector:
    """The plain way: the forecast's error over its usual size, one alarm for those close together."""

    def run(series: Labelled) -> list[int]:
        shadow, size, over_at = Shadow(), 0.0, float("-inf")
        alarms = []
        for i, (time, value) in enumerate(zip(series.times, series.values, strict=True)):
            error = abs(value - shadow.mean) if shadow.seen else 0.0
            if i > Z_WARM_UP_WINDOWS and error > threshold * size:
                if time > over_at + QUIET_SECONDS:
                    alarms.append(i)
                over_at = time
            size += max(Z_PACE, 1.0 / (i + 1)) * (error - size)
            shadow.observe(value)
        return alarms

    return run
