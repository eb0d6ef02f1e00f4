"""A TokenPolicy as a value. `parse_policy` is the one door from a manifest's dict; nobody else reads one.

Defaults, types and bounds live in the schema (crds/tokenpolicies.forefill.io.yaml) alone: the API server applies
them on a cluster, `forefill_operator.schema` does for files. What one field's schema can't see is in `rules`.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from forefill_operator import rules
from forefill_operator.spec import Spec

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
