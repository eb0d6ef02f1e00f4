"""The spec of a TokenPolicy, field by field as manifests have it. Rates are tokens/s."""

from typing import Literal

import msgspec
from msgspec import Struct

from forefill_protocol.fields import Fallback, Mode


class _Camel(Struct, frozen=True, rename="camel"):
    """Fields are written in camelCase in manifests."""


class Upstream(_Camel, frozen=True):
    url: str
    ca_bundle: str = ""


class EnvironmentVariable(_Camel, frozen=True):
    """`name` is set in the app's containers to the listener's URL followed by `path`."""

    name: str
    path: str = ""


class Inject(_Camel, frozen=True):
    port: int
    env: list[EnvironmentVariable]


class LabelSelectorRequirement(_Camel, frozen=True):
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = []


class LabelSelector(_Camel, frozen=True):
    """As Kubernetes defines it: an empty selector matches everything."""

    match_labels: dict[str, str] = {}
    match_expressions: list[LabelSelectorRequirement] = []


class ClientClass(_Camel, frozen=True):
    """Clients that share among each other what the class gets: `weight`, `floor` and `ceiling` are of all of them."""

    name: str
    weight: float
    floor: float
    pod_selector: LabelSelector = LabelSelector()
    ceiling: float | None = None


class Clients(_Camel, frozen=True):
    """Who is admitted. Without `namespaces` only the policy's own namespace is."""

    namespaces: list[str] = []
    pod_selector: LabelSelector = LabelSelector()
    classes: list[ClientClass] = []


class FillRate(_Camel, frozen=True):
    """Tokens/s."""

    base: float
    min: float
    max: float
    surplus: Literal["Lend", "Hold"]


class Burst(_Camel, frozen=True):
    seconds: float


class PredictionWeight(_Camel, frozen=True):
    initial: float
    min: float
    max: float


class Weights(_Camel, frozen=True):
    """`load`, 0 or negative: what full load adds to the target, tokens/s."""

    prediction: PredictionWeight
    load: float


class LoadThresholds(_Camel, frozen=True):
    """Parts of 1: below `low` the upstream is idle, above `high` it has too much to do."""

    low: float
    high: float


class Thresholds(_Camel, frozen=True):
    load: LoadThresholds
    latency_p95_milliseconds: float | None = msgspec.field(name="latencyP95Milliseconds", default=None)


class UserDimension(_Camel, frozen=True):
    """The header that tells a pod's users apart; read only when `authorized`."""

    authorized: bool
    header: str = ""


class ForecastSpec(_Camel, frozen=True):
    model: str
    quantile: float
    horizon_windows: int
    time_zone: str
    user_dimension: UserDimension


class ReportSpec(_Camel, frozen=True):
    interval_seconds: float
    lease_seconds: float


class CostRoute(_Camel, frozen=True):
    """Requests of `method`, any when empty, to `path` cost `cost` tokens."""

    path: str
    cost: float
    method: str = ""


class CostResponse(_Camel, frozen=True):
    """Where the JSON of a response has the tokens that it took (RFC 6901)."""

    json_pointer: str = ""


class Cost(_Camel, frozen=True):
    """Tokens of a request."""

    default: float
    per_kilobyte: float
    response: CostResponse
    header: str = ""
    routes: list[CostRoute] = []
    reserve: float | None = None
    max_debt: float | None = None


class Queue(_Camel, frozen=True):
    max_wait_seconds: float
    max_requests: int


class PrioritySpec(_Camel, frozen=True):
    """Bounds on what accuracy adds to or takes from a client's weight, as parts of it."""

    max_boost: float
    max_penalty: float


class AnomalySpec(_Camel, frozen=True):
    sensitivity: Literal["Low", "Medium", "High"]
    action: Literal["Ignore", "Clamp", "Quarantine"]


class LoadSpec(_Camel, frozen=True):
    """PromQL for each part of the upstream's load; `clients` for what the upstream itself counted of each client."""

    source: str
    stale_after_seconds: float
    cpu: str = ""
    memory: str = ""
    network: str = ""
    clients: str = ""


class Spec(_Camel, frozen=True):
    mode: Mode
    upstream: Upstream
    inject: Inject
    clients: Clients
    fill_rate: FillRate
    burst: Burst
    weights: Weights
    thresholds: Thresholds
    forecast: ForecastSpec
    report: ReportSpec
    cost: Cost
    queue: Queue
    priority: PrioritySpec
    anomaly: AnomalySpec
    load: LoadSpec
    fallback: Fallback
