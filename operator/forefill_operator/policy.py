"""A TokenPolicy as a value. `parse_policy` is the one door from a manifest's dict; nobody else reads one.

Defaults, types and bounds live in the schema (crds/tokenpolicies.forefill.io.yaml) alone: the API server applies
them on a cluster, `forefill_operator.schema` does for files. What one field's schema can't see is in `rules`.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from forefill_operator import rules
from forefill_protocol.messages import Fallback, Mode

_T = TypeVar("_T")

GROUP, VERSION, PLURAL, KIND = "forefill.io", "v1alpha1", "tokenpolicies", "TokenPolicy"
API_VERSION = f"{GROUP}/{VERSION}"

# Assignments outlive the next report by this much, so that one late answer does not drop a client to its safe rate.
REPORT_MARGIN_SECONDS = 2.0
# At most this part of fillRate.max may be promised to clients that have fallen silent.
SAFE_SHARE = 0.5


class InvalidPolicy(ValueError):
    """The manifest can't be served. `reason` is one CamelCase word, `field` a path such as spec.fillRate.max."""

    def __init__(self, reason: str, field: str, sentence: str) -> None:
        super().__init__(f"{field}: {sentence}")
        self.reason = reason
        self.field = field


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


class TokenPolicy(Struct, frozen=True):
    """One policy; `key` is NAMESPACE/NAME, `generation` rises with each change of the spec."""

    key: str
    uid: str
    generation: int
    spec: Spec

    @property
    def namespace(self) -> str:
        return self.key.partition("/")[0]

    @property
    def name(self) -> str:
        return self.key.partition("/")[2]


def parse_policy(body: Mapping[str, Any]) -> TokenPolicy:
    """The value of a defaulted manifest. Raises InvalidPolicy."""
    metadata = _convert(body.get("metadata", {}), _Metadata, "metadata")
    spec = _convert(body.get("spec", {}), Spec, "spec")
    for field, sentence in rules.faults(spec):
        raise InvalidPolicy("InvalidSpec", field, sentence)
    return TokenPolicy(f"{metadata.namespace}/{metadata.name}", metadata.uid, metadata.generation, spec)


class _Metadata(Struct, frozen=True):
    name: str
    namespace: str
    uid: str = ""
    generation: int = 0


def _convert(value: Any, kind: type[_T], field: str) -> _T:
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        reason = f"Invalid{field.capitalize()}"
        raise InvalidPolicy(reason, field + path.rstrip("`"), message[:1].lower() + message[1:]) from None
