"""The conditions of a TokenPolicy: what is true of it, why, and since when."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from forefill_operator.anomaly.finding import VERDICTS, Verdict
from forefill_operator.appraisal import Appraisal
from forefill_operator.load.readings import Fault
from forefill_operator.policy import InvalidPolicy
from forefill_operator.shaping import Load

MOST_NAMED = 3


class Condition(Struct, frozen=True, rename="camel"):
    """As the Kubernetes API conventions define it. `last_transition_time` is empty until it is written down."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    observed_generation: int
    last_transition_time: str = ""


def accepted(invalid: InvalidPolicy | None, generation: int) -> Condition:
    if invalid is None:
        return Condition("Accepted", "True", "Accepted", "The policy is served", generation)
    return Condition("Accepted", "False", invalid.reason, str(invalid), generation)


def enforced(mode: str, laggards: Sequence[str], clients: int, generation: int) -> Condition:
    """True only when every live client has acknowledged this generation; `laggards` names those that have not."""
    if mode == "Observe":
        return Condition("Enforced", "False", "Observing", "Mode Observe delays and refuses nothing", generation)
    if clients == 0:
        return Condition("Enforced", "True", "NoClients", "No client is connected", generation)
    if not laggards:
        return Condition("Enforced", "True", "Acknowledged", "Every client runs this generation", generation)
    named = ", ".join(sorted(laggards)[:MOST_NAMED])
    more = f" and {len(laggards) - MOST_NAMED} more" if len(laggards) > MOST_NAMED else ""
    message = f"Generation {generation} waits for {len(laggards)} of {clients} clients: {named}{more}"
    return Condition("Enforced", "False", "Pending", message, generation)


def not_enforced(generation: int) -> Condition:
    """No generation of the policy has been valid yet: there is nothing to enforce."""
    return Condition("Enforced", "False", "NotAccepted", "No valid policy to enforce", generation)


def load_known(load: Load | None, faults: Mapping[str, Fault], generation: int) -> Condition:
    """True only while every part is measured; `faults` say, by what they are about, what keeps it from being."""
    reason = load.state if load else next((fault.kind for fault in faults.values()), "NoSource")
    told = "; ".join([_LOAD_MESSAGES.get(reason, _NO_LOAD), *_told(faults)])
    if reason == "Known":
        return Condition("LoadKnown", "True", "Fresh", told, generation)
    return Condition("LoadKnown", "False", reason, told, generation)


_NO_LOAD = "No load is measured; the fill rate follows demand alone"
_LOAD_MESSAGES = {
    "NoSource": "No source of load is configured; the fill rate follows demand alone",
    "Known": "The load counts in the fill rate",
    "Held": "What was measured last stands in for what is missing",
    "Decaying": "What was measured last is old and counts less and less",
    "Unknown": "The load can't be told; the fill rate follows demand alone",
}


def _told(faults: Mapping[str, Fault]) -> Iterator[str]:
    for about, fault in faults.items():
        yield f"{about} {fault.sentence}"


def calm(judged: Mapping[str, Appraisal], generation: int) -> Condition:
    """`judged`: the clients that something stands against, by name."""
    if not judged:
        return Condition("Calm", "True", "NoAnomalies", "No client behaves strangely", generation)
    gravest = max((appraisal.verdict for appraisal in judged.values()), key=VERDICTS.index)
    names = sorted(judged, key=lambda name: (-VERDICTS.index(judged[name].verdict), name))
    named = ", ".join(f"{name} ({_kinds(judged[name])})" for name in names[:MOST_NAMED])
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return Condition("Calm", "False", _JUDGED[gravest], f"{_JUDGMENTS[gravest]}: {named}{more}", generation)


def _kinds(appraisal: Appraisal) -> str:
    return ", ".join(sorted({anomaly.kind for anomaly in appraisal.anomalies}))


_JUDGED: Mapping[Verdict, str] = {
    "None": "Noticed",
    "Ignore": "ForecastsIgnored",
    "Clamp": "Clamped",
    "Quarantine": "Quarantined",
}
_JUDGMENTS: Mapping[Verdict, str] = {
    "None": "Strange, but nothing had to be done",
    "Ignore": "Forecasts count for nothing",
    "Clamp": "Kept to a safe share",
    "Quarantine": "Left with a trickle",
}


def dated(conditions: Sequence[Condition], before: Sequence[Condition], wall_time: str) -> list[Condition]:
    """`last_transition_time` stays while the status of a condition stays; `wall_time` (RFC 3339) where it flips."""
    old = {condition.type: condition for condition in before}
    return [_dated(condition, old.get(condition.type), wall_time) for condition in conditions]


def _dated(condition: Condition, before: Condition | None, wall_time: str) -> Condition:
    stays = before is not None and before.status == condition.status and before.last_transition_time
    return Condition(
        type=condition.type,
        status=condition.status,
        reason=condition.reason,
        message=condition.message,
        observed_generation=condition.observed_generation,
        last_transition_time=before.last_transition_time if before and stays else wall_time,
    )
