"""Everything behind a policy's fill rate, or a client's, as one value: what /v1/explain sends. Rates are tokens/s."""

from collections.abc import Sequence

from msgspec import Struct

from forefill_operator.anomaly.finding import Verdict
from forefill_operator.shaping import Terms
from forefill_protocol.fields import Mode


class ClassFacts(Struct, frozen=True):
    """A class of clients; `ceiling` is None where there is none. `rate` is what its clients run at together."""

    name: str
    weight: float
    floor: float
    ceiling: float | None
    clients: int
    request: float
    rate: float


class ClientLine(Struct, frozen=True):
    """One client in a list. `trust` is None before it was appraised."""

    name: str
    class_name: str
    request: float
    rate: float
    trust: float | None
    priority: float
    verdict: Verdict


class HeldUp(Struct, frozen=True):
    """What enforcement would have done to one client in its last window: delayed and refused."""

    name: str
    would_wait: float
    would_refuse: float


class PolicyFacts(Struct, frozen=True, tag="policy", tag_field="about"):
    """`load_weight_growth` multiplies the weight of load while latency is high; `load_faults` are sentences.

    `clients` take part in the plan; `offered`, `would_wait` and `would_refuse` are of their last windows, all that they
    offered and what of it enforcement would have delayed and refused, as their sidecars count it in mode Observe. Of
    the `held_up_clients` that this would have met `held_up` lists those it would have met most. `waiting` counts
    clients whose raise waits for others. `unknown` may be held by clients of an earlier operator.
    """

    policy: str
    generation: int
    mode: Mode
    min: float
    max: float
    clients: int
    terms: Terms
    prediction_bounds: tuple[float, float]
    load_weight: float
    load_weight_growth: float
    load_faults: Sequence[str]
    reserved: float
    unknown: float
    held: float
    pool_rate: float
    available: float
    waiting: int
    offered: float
    would_wait: float
    would_refuse: float
    held_up_clients: int
    held_up: Sequence[HeldUp]
    classes: Sequence[ClassFacts]
    top: Sequence[ClientLine]
    restrained: Sequence[ClientLine]
    sentence: str


class AnomalyFacts(Struct, frozen=True):
    kind: str
    evidence: str
    for_seconds: float


class ClientFacts(Struct, frozen=True, tag="client", tag_field="about"):
    """`believed` = shadow + trust x (forecast - shadow), `request` = believed + backlog / interval; `declared` on top.

    `share` is the client's by weight of what its class's clients divide; `is_short`: not everybody gets their request.
    `rate` is granted until `rate_seconds` from now, `safe_rate` until `lease_seconds`; `held` counts what is not
    acknowledged. Tokens: `backlog`, `burst`, `lump`.
    """

    policy: str
    mode: Mode
    client: str
    pod_uid: str
    workload: str
    class_name: str
    is_connected: bool
    heard_seconds: float | None
    forecast: float | None
    shadow: float | None
    shadow_spread: float | None
    trust: float | None
    skill: float | None
    is_newcomer: bool
    believed: float | None
    backlog: float
    backlog_rate: float
    declared: float
    request: float | None
    reactive: float | None
    spread: float | None
    priority: float
    share: float | None
    is_short: bool
    planned: float | None
    rate: float
    safe_rate: float
    held: float
    burst: float
    lump: float
    rate_seconds: float
    lease_seconds: float
    offered: float
    admitted: float
    would_wait: float
    would_refuse: float
    verdict: Verdict
    anomalies: Sequence[AnomalyFacts]
    sentence: str
