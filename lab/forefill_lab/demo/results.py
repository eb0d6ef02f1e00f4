"""What a phase showed, as numbers. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from forefill_lab.demo.load import NO_ANSWER, Outcome

ON_TIME_SECONDS = 0.5
SERVED, REJECTED = 200, 429


@dataclass(frozen=True, slots=True)
class Result:
    """Counts are of requests that were due in the measured seconds; `over_grant` is in tokens/s."""

    offered: int
    served: int
    on_time_share: float
    wait_p95_seconds: float
    rejected: int
    capacity_used: float
    over_grant: float


def result(
    outcomes: Sequence[Outcome], seconds: float, capacity: float, service_seconds: float, over_grant: float
) -> Result:
    """Everything that was due from second 0 on; the warm-up before it is left out.

    A refused request waited in vain from when it was due until it was refused.
    """
    measured = [outcome for outcome in outcomes if outcome.due >= 0.0]
    served = [outcome for outcome in measured if outcome.status == SERVED]
    rejected = [outcome for outcome in measured if outcome.status == REJECTED]
    on_time = [outcome for outcome in served if wait(outcome, service_seconds) < ON_TIME_SECONDS]
    waits = [wait(outcome, service_seconds) for outcome in served] + [outcome.seconds for outcome in rejected]
    return Result(
        offered=len(measured),
        served=len(served),
        on_time_share=round(len(on_time) / len(measured), 4) if measured else 1.0,
        wait_p95_seconds=round(quantile(waits, 0.95), 4),
        rejected=len(rejected),
        capacity_used=round(len(served) / (capacity * seconds), 4),
        over_grant=round(over_grant, 6),
    )


def unanswered(outcomes: Sequence[Outcome]) -> int:
    """Requests that were neither served nor refused for want of tokens; on one healthy machine there are none."""
    return sum(1 for outcome in outcomes if outcome.status == NO_ANSWER or outcome.status not in (SERVED, REJECTED))


def wait(outcome: Outcome, service_seconds: float) -> float:
    """Latency beyond what an idle resource takes."""
    return max(0.0, outcome.seconds - service_seconds)


def quantile(values: Sequence[float], level: float) -> float:
    """The smallest value that `level` of them don't exceed; 0 when there are none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, ceil(level * len(values)) - 1)]
