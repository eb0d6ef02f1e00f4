"""What must hold between the fields of a TokenPolicy, whoever let it through before."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from msgspec import Struct

from forefill_operator.spec import Inject, LabelSelector, Spec, Upstream
from forefill_protocol.podsettings import HEALTH_PORT

Faults = Iterator[tuple[str, str]]


def faults(spec: Spec) -> Faults:
    """Field and sentence of everything that one field's schema can't see, in the order in which it is worth mending."""
    numbers = dict(_numbers(spec, "spec"))
    for field, number in numbers.items():
        if not math.isfinite(number):
            yield field, f"is {number}, but must be a finite number"
    for field in _POSITIVE:
        if numbers[field] <= 0:
            yield field, f"is {numbers[field]:g}, but must be above 0"
    for low, high, times in _ORDERED:
        if times * numbers[low] > numbers[high]:
            yield _order_fault(low, high, times, numbers)
    yield from _upstream_faults(spec.upstream)
    yield from _inject_faults(spec.inject)
    yield from _selector_faults(spec.clients.pod_selector)


_POSITIVE = (
    "spec.fillRate.min",
    "spec.fillRate.max",
    "spec.burst.seconds",
    "spec.report.intervalSeconds",
)
# The first, times the number, must not be above the second.
_ORDERED = (
    ("spec.fillRate.min", "spec.fillRate.max", 1),
    ("spec.fillRate.base", "spec.fillRate.max", 1),
    ("spec.weights.prediction.min", "spec.weights.prediction.initial", 1),
    ("spec.weights.prediction.initial", "spec.weights.prediction.max", 1),
    ("spec.report.intervalSeconds", "spec.report.leaseSeconds", 2),
)


def _order_fault(low: str, high: str, times: int, numbers: Mapping[str, float]) -> tuple[str, str]:
    bound = numbers[high] / times
    name = high.rpartition(".")[2]
    what = f"{name}, which is" if times == 1 else f"1/{times} of {name},"
    return low, f"is {numbers[low]:g}, but must not be above {what} {bound:g}"


def _numbers(value: Any, field: str) -> Iterator[tuple[str, float]]:
    """Every number of the spec under its name in a manifest."""
    if isinstance(value, Struct):
        for info in msgspec.structs.fields(value):
            yield from _numbers(getattr(value, info.name), f"{field}.{info.encode_name}")
    elif isinstance(value, int | float):
        yield field, value


def _upstream_faults(upstream: Upstream) -> Faults:
    field = "spec.upstream.url"
    try:
        parts = urlsplit(upstream.url)
        port = parts.port
    except ValueError as error:
        yield field, f"is {upstream.url!r}, which is no URL: {error}"
        return
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        yield field, f"is {upstream.url!r}, but must be http://HOST or https://HOST, with a port and a path if need be"
    if parts.username is not None or parts.query or parts.fragment or any(c.isspace() for c in upstream.url):
        yield field, f"is {upstream.url!r}, but must hold neither credentials, query, fragment nor blanks"
    if upstream.ca_bundle and parts.scheme != "https":
        yield "spec.upstream.caBundle", "needs an https:// url"
    elif upstream.ca_bundle and not _holds_certificates(upstream.ca_bundle):
        yield "spec.upstream.caBundle", "holds no certificates in PEM"


def _holds_certificates(bundle: str) -> bool:
    try:
        return bool(x509.load_pem_x509_certificates(bundle.encode()))
    except ValueError:
        return False


def _inject_faults(inject: Inject) -> Faults:
    if inject.port == HEALTH_PORT:
        yield "spec.inject.port", f"can't be {HEALTH_PORT}, which is the sidecar's own for probes and metrics"
    if not 1024 <= inject.port <= 65535:
        yield "spec.inject.port", f"is {inject.port}, but must be from 1024 to 65535"
    names = [variable.name for variable in inject.env]
    for index, variable in enumerate(inject.env):
        field = f"spec.inject.env[{index}]"
        if _VARIABLE.fullmatch(variable.name) is None:
            yield f"{field}.name", f"is {variable.name!r}, but must be a name that ends in _URL, _HOST or _ENDPOINT"
        if variable.name in names[:index]:
            yield f"{field}.name", f"is {variable.name!r}, which the list has already"
        if variable.path and not variable.path.startswith("/"):
            yield f"{field}.path", f"is {variable.path!r}, but must begin with /"


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*_(URL|HOST|ENDPOINT)")


def _selector_faults(selector: LabelSelector) -> Faults:
    for index, requirement in enumerate(selector.match_expressions):
        if (requirement.operator in ("In", "NotIn")) != bool(requirement.values):
            field = f"spec.clients.podSelector.matchExpressions[{index}].values"
            yield field, "must be given for In and NotIn and left out for Exists and DoesNotExist"
