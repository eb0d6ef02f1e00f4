"""The status of a TokenPolicy as a value, and as the dict that its manifest carries."""

from collections.abc import Mapping, Sequence
from heapq import nlargest
from typing import Any

import msgspec
from msgspec import Struct

from forefill_operator import conditions
from forefill_operator.appraisal import Appraisal
from forefill_operator.book import Book
from forefill_operator.conditions import Condition
from forefill_operator.member import Member
from forefill_operator.policy import InvalidPolicy

MOST_TOP_CLIENTS = MOST_BEST_MODELS = 5


class TopClient(Struct, frozen=True, rename="camel"):
    """`pod` is NAMESPACE/NAME; `fill_rate` tokens/s."""

    pod: str
    fill_rate: float


class AppliedWeights(Struct, frozen=True, rename="camel", omit_defaults=True):
    """The weights in force. `load` is left out while the load is unknown."""

    prediction: float
    load: float | None = None


class BestModel(Struct, frozen=True, rename="camel"):
    """The model that would serve a workload best: its mean absolute error is 1 - `skill` times the last value's."""

    workload: str
    model: str
    skill: float


class PolicyStatus(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Totals and conditions only. Rates are tokens/s; `load` in [0, 1] is left out while it is unknown.

    `would_wait` and `would_refuse` are what enforcement would have done in the last windows, in mode Observe.
    """

    conditions: list[Condition]
    observed_generation: int
    clients: int
    target_fill_rate: float | None = None
    predicted_total: float | None = None
    load: float | None = None
    weights: AppliedWeights | None = None
    clamped: str | None = None
    would_wait: float | None = None
    would_refuse: float | None = None
    top_clients: list[TopClient] = []
    best_models: list[BestModel] = []


def status_of(book: Book, invalid: InvalidPolicy | None, generation: int, now: float) -> PolicyStatus:
    """`generation` is the newest one seen; while `invalid` is set it is not the one that is served."""
    live = [member for member in book.members.values() if member.is_live(now)]
    laggards = [member.client.name for member in live if member.generation != book.policy.generation]
    terms, load = book.plan.terms, book.plan.terms.load
    roster = book.planner.roster
    observed = roster.fresh(now) if book.policy.spec.mode == "Observe" else None
    top = nlargest(MOST_TOP_CLIENTS, live, key=lambda member: (member.rate, member.client.namespace, member.client.pod))
    return PolicyStatus(
        conditions=[
            conditions.accepted(invalid, generation),
            conditions.enforced(book.policy.spec.mode, laggards, len(live), book.policy.generation),
            conditions.load_known(book.load, book.load_faults, generation),
            conditions.calm(_judged(live), generation),
        ],
        observed_generation=generation,
        clients=len(live),
        target_fill_rate=terms.adjusted,
        predicted_total=terms.predicted_total,
        load=load.mean if load else None,
        weights=AppliedWeights(terms.weight_prediction, terms.weight_load if load else None),
        clamped=terms.clamp,
        would_wait=None if observed is None else float(roster.would_wait[observed].sum()),
        would_refuse=None if observed is None else float(roster.would_refuse[observed].sum()),
        top_clients=[TopClient(member.client.name, member.rate) for member in top],
    )


def _judged(live: Sequence[Member]) -> dict[str, Appraisal]:
    appraised = [(member.client, member.appraisal) for member in live if member.appraisal is not None]
    return {client.name: appraisal for client, appraisal in appraised if appraisal.verdict != "None"}


def status_of_invalid(invalid: InvalidPolicy, generation: int) -> PolicyStatus:
    """The status of a policy that has never been valid."""
    return PolicyStatus(
        conditions=[conditions.accepted(invalid, generation), conditions.not_enforced(generation)],
        observed_generation=generation,
        clients=0,
    )


def manifest(status: PolicyStatus, before: Mapping[str, Any], wall_time: str) -> dict[str, Any]:
    """The dict to write, given the status in the manifest; figures rounded to four digits."""
    dated = conditions.dated(status.conditions, _conditions(before), wall_time)
    body = msgspec.to_builtins(status)
    body["conditions"] = msgspec.to_builtins(dated)
    return {key: _rounded(value) for key, value in body.items()}


def _conditions(before: Mapping[str, Any]) -> Sequence[Condition]:
    """What can't be read there (somebody wrote it by hand) counts as never having been written."""
    try:
        return msgspec.convert(before.get("conditions", []), list[Condition])
    except msgspec.ValidationError:
        return []


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list) else value
