"""What trust makes of honest forecasts and of lies. The honest forecaster is the sidecar's own Ensemble.

Each seed is another day and hour of every client: history, in which it is honest, and then the windows in which the
lie must be caught. Honest clients are honest in both.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bench.forecast import series
from bench.forecast.series import Series

from forefill_operator.shadow import Shadow
from forefill_operator.trust import ACTIVE, Claim, Trust
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.forecast.season import Season

MIN_RATE = 0.05
DAYS = 14
HISTORY, WATCHED = 200, 700
# A lie must be caught within so many windows in which the client was active.
CHANCES = 30
CAUGHT, DOUBTED = 0.2, 0.5
BURN, BUILD = 10, 200

Lie = Callable[[Claim, int], Claim]


def times(factor: float) -> Lie:
    return lambda claim, window: Claim(factor * claim.mean, factor * claim.p90, factor * claim.p95)


def build_and_burn(claim: Claim, window: int) -> Claim:
    """Lies for BURN windows, then is honest for BUILD, and so on."""
    return times(3.0)(claim, window) if window % (BURN + BUILD) < BURN else claim


LIES: dict[str, Lie] = {
    "x0.5": times(0.5),
    "x1.5": times(1.5),
    "x3": times(3.0),
    "build and burn x3": build_and_burn,
}


@dataclass(frozen=True)
class Step:
    """One window: what it brought, and what the client's forecaster had said of it; tokens/s."""

    rate: float
    claim: Claim | None


@dataclass(frozen=True)
class Honest:
    """Active windows of an honest client, and those in which its trust was below DOUBTED."""

    active: int
    doubted: int


def courses(data: Path, seeds: int) -> Iterator[list[Step]]:
    """Forecast once, told in many ways: one course a client and seed."""
    for seed in range(seeds):
        generator = random.Random(seed)
        for path in series.servegen_clients(data):
            day = series.servegen(path, seed % DAYS)
            if mean_rate(day) > MIN_RATE:
                yield course(day, generator.randrange(len(day.values) - HISTORY - WATCHED))
    for other in others(data):
        yield course(other, 0)


def others(data: Path) -> Iterator[Series]:
    for shape in ("diurnal", "bursty"):
        yield series.autothrottle(data, shape)
    yield series.azure(data, "azure_conv_requests", lambda row: 1.0)
    yield series.azure(data, "azure_conv_tokens", lambda row: float(row[1]) + float(row[2]))
    yield series.stamped("worldcup", data / "worldcup98/worldcup98_per_minute_first30d.csv", 60.0)


def mean_rate(day: Series) -> float:
    return sum(day.values) / len(day.values) / day.interval_seconds


def course(whole: Series, first: int) -> list[Step]:
    predictor = Predictor("Ensemble", 3, Season(whole.interval_seconds, whole.second_of_week))
    steps: list[Step] = []
    for value in whole.values[first : first + HISTORY + WATCHED]:
        rate = value / whole.interval_seconds
        forecast = predictor.forecasts()[0] if steps else None
        steps.append(Step(rate, Claim(forecast.mean, forecast.p90, forecast.p95) if forecast else None))
        predictor.observe(rate)
    return steps


def honest(steps: Sequence[Step]) -> Honest:
    shadow, trust, doubted = Shadow(), Trust(), 0
    for step in steps:
        scored = trust.scored
        if step.claim:
            trust.score(step.claim, shadow, step.rate)
        if trust.scored > scored:
            doubted += trust.value < DOUBTED
        shadow.observe(step.rate)
    return Honest(trust.scored, doubted)


def caught(steps: Sequence[Step], lie: Lie) -> bool | None:
    """None when the client was active in fewer than CHANCES windows that were lied about."""
    shadow, trust, chances, lying = Shadow(), Trust(), 0, count()
    for place, step in enumerate(steps):
        if step.claim and place < HISTORY:
            trust.score(step.claim, shadow, step.rate)
        elif step.claim:
            told = lie(step.claim, next(lying))
            is_active = step.rate > ACTIVE * shadow.usual
            trust.score(told, shadow, step.rate)
            if trust.value < CAUGHT:
                return True
            chances += is_active and told != step.claim
            if chances >= CHANCES:
                return False
        shadow.observe(step.rate)
    return None
