"""What must hold between the fields of a TokenPolicy, whoever let it through before."""

import math
import re
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from msgspec import Struct

from forefill_operator.spec import ClientClass, ForecastSpec, Inject, LabelSelector, LoadThresholds, Spec, Upstream
from forefill_protocol.podsettings import HEALTH_PORT

Faults = Iterator[tuple[str, str]]


def faults(spec: Spec) -> Faults:
    """Field and sentence of everything that one field's schema can't see, in the order in which it is worth mending."""
    numbers = dict(_numbers(spec, "spec"))
    for field, number in numbers.items():
        if not math.isfinite(number):
            yield field, f"is {number}, but must be a finite number"
    for field in _POSITIVE:
        if numbers.get(field, 1.0) <= 0:
            yield field, f"is {numbers[field]:g}, but must be above 0"
    for low, high, times in _ORDERED:
        if times * numbers[low] > numbers[high]:
            yield _order_fault(low, high, times, numbers)
    yield from _upstream_faults(spec.upstream)
    yield from _inject_faults(spec.inject)
    yield from _selector_faults(spec.clients.pod_selector, "spec.clients.podSelector")
    yield from _class_faults(spec.clients.classes, spec.fill_rate.max)
    yield from _threshold_faults(spec.thresholds.load)
    yield from _forecast_faults(spec.forecast)
    yield from _bound_faults(numbers)


_POSITIVE = (
    "spec.fillRate.min",
    "spec.fillRate.max",
    "spec.burst.seconds",
    "spec.report.intervalSeconds",
    "spec.thresholds.latencyP95Milliseconds",
    "spec.load.staleAfterSeconds",
)
# The least and the most that a field may be.
_BOUNDS = {
    "spec.weights.load": (-math.inf, 0.0),
    "spec.priority.maxBoost": (0.0, 1.0),
    "spec.priority.maxPenalty": (0.0, 0.99),
    "spec.cost.perKilobyte": (0.0, math.inf),
    "spec.cost.reserve": (0.0, math.inf),
    "spec.cost.maxDebt": (0.0, math.inf),
}
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
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _numbers(item, f"{field}[{index}]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield field, value


def _bound_faults(numbers: Mapping[str, float]) -> Faults:
    for field, (least, most) in _BOUNDS.items():
        number = numbers.get(field)
        if number is not None and number < least:
            yield field, f"is {number:g}, but must be at least {least:g}"
        if number is not None and number > most:
            yield field, f"is {number:g}, but must be at most {most:g}"


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


def _selector_faults(selector: LabelSelector, field: str) -> Faults:
    for index, requirement in enumerate(selector.match_expressions):
        if (requirement.operator in ("In", "NotIn")) != bool(requirement.values):
            sentence = "must be given for In and NotIn and left out for Exists and DoesNotExist"
            yield f"{field}.matchExpressions[{index}].values", sentence


def _class_faults(classes: Sequence[ClientClass], highest_rate: float) -> Faults:
    names = [each.name for each in classes]
    for index, each in enumerate(classes):
        field = f"spec.clients.classes[{index}]"
        if each.name in names[:index]:
            yield f"{field}.name", f"is {each.name!r}, which the list has already"
        if each.weight <= 0:
            yield f"{field}.weight", f"is {each.weight:g}, but must be above 0"
        if each.floor < 0:
            yield f"{field}.floor", f"is {each.floor:g}, but must be at least 0"
        if each.ceiling is not None and not each.floor <= each.ceiling:
            yield f"{field}.floor", f"is {each.floor:g}, but must not be above ceiling, which is {each.ceiling:g}"
        yield from _selector_faults(each.pod_selector, f"{field}.podSelector")
    floors = math.fsum(each.floor for each in classes)
    if floors > highest_rate:
        sentence = f"have floors of {floors:g} together, but must not be above fillRate.max, which is {highest_rate:g}"
        yield "spec.clients.classes", sentence


def _threshold_faults(load: LoadThresholds) -> Faults:
    field = "spec.thresholds.load"
    if not 0 < load.high < 1:
        yield f"{field}.high", f"is {load.high:g}, but must be above 0 and below 1"
    if not 0 <= load.low < load.high:
        yield f"{field}.low", f"is {load.low:g}, but must be at least 0 and below high, which is {load.high:g}"


def _forecast_faults(forecast: ForecastSpec) -> Faults:
    if not _is_time_zone(forecast.time_zone):
        yield "spec.forecast.timeZone", f"is {forecast.time_zone!r}, but must be an IANA name such as Europe/Paris"
    if forecast.user_dimension.authorized and not forecast.user_dimension.header:
        yield "spec.forecast.userDimension.authorized", "needs a header"


def _is_time_zone(name: str) -> bool:
    """UTC needs no database, which a small image may lack."""
    if name == "UTC":
        return True
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
