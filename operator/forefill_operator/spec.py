"""The spec of a TokenPolicy, field by field as manifests have it. Rates are tokens/s."""

from typing import Literal

from msgspec import Struct

from forefill_protocol.messages import Fallback, Mode


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


class Clients(_Camel, frozen=True):
    """Who is admitted. Without `namespaces` only the policy's own namespace is."""

    namespaces: list[str] = []
    pod_selector: LabelSelector = LabelSelector()


class FillRate(_Camel, frozen=True):
    """Tokens/s."""

    base: float
    min: float
    max: float


class Burst(_Camel, frozen=True):
    seconds: float


class PredictionWeight(_Camel, frozen=True):
    initial: float
    min: float
    max: float


class Weights(_Camel, frozen=True):
    prediction: PredictionWeight


class ForecastSpec(_Camel, frozen=True):
    model: str
    quantile: float
    horizon_windows: int


class ReportSpec(_Camel, frozen=True):
    interval_seconds: float
    lease_seconds: float


class Cost(_Camel, frozen=True):
    default: float
    header: str = ""


class Queue(_Camel, frozen=True):
    max_wait_seconds: float
    max_requests: int


class Spec(_Camel, frozen=True):
    mode: Mode
    upstream: Upstream
    inject: Inject
    clients: Clients
    fill_rate: FillRate
    burst: Burst
    weights: Weights
    forecast: ForecastSpec
    report: ReportSpec
    cost: Cost
    queue: Queue
    fallback: Fallback
