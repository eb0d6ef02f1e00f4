"""How much CPU and memory a sidecar gets: by the chart's values, by its policies' annotations, by its pod's. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from forefill_operator.kube import annotations, quantities
from forefill_operator.kube.annotations import BadAnnotation

# Below this the process does not start.
LEAST_MEMORY_LIMIT = "32Mi"
_NAMES = {
    "cpu": (annotations.CPU, annotations.CPU_LIMIT),
    "memory": (annotations.MEMORY, annotations.MEMORY_LIMIT),
}

Annotations = Mapping[str, str]


def choose(values: Mapping[str, Any], policies: Iterable[Annotations], pod: Annotations) -> dict[str, Any]:
    """A container's `resources`. The pod's word goes over that of its policies, an earlier policy's over a later's.

    A request above an inherited limit raises the limit, a limit below an inherited request lowers the request: the API
    server would refuse the whole pod otherwise. Raises BadAnnotation.
    """
    chosen: dict[str, Any] = {
        **values,
        "requests": {**values.get("requests", {})},
        "limits": {**values.get("limits", {})},
    }
    for level in [*reversed(list(policies)), pod]:
        for resource, (request, limit) in _NAMES.items():
            _override(chosen, resource, _quantity(level, request), _quantity(level, limit), limit)
    _check_memory(chosen["limits"])
    return {name: value for name, value in chosen.items() if value}


def _override(chosen: dict[str, Any], resource: str, request: str | None, limit: str | None, name: str) -> None:
    requests, limits = chosen["requests"], chosen["limits"]
    if request and limit and quantities.parse(limit) < quantities.parse(request):
        raise BadAnnotation(f"annotation {name} is {limit!r}, but must be at least the request, {request!r}")
    if request:
        requests[resource] = request
    if limit:
        limits[resource] = limit
    if resource in requests and resource in limits:
        if quantities.parse(str(limits[resource])) < quantities.parse(str(requests[resource])):
            (requests if limit else limits)[resource] = limit or request


def _quantity(level: Annotations, name: str) -> str | None:
    text = level.get(name)
    if text is None:
        return None
    try:
        quantities.parse(text)
    except ValueError as error:
        raise BadAnnotation(f"annotation {name} is {text!r}, but {error}") from None
    return text


def _check_memory(limits: Mapping[str, Any]) -> None:
    limit = str(limits.get("memory", LEAST_MEMORY_LIMIT))
    if quantities.parse(limit) < quantities.parse(LEAST_MEMORY_LIMIT):
        raise BadAnnotation(
            f"annotation {annotations.MEMORY_LIMIT} is {limit!r}, but a sidecar needs {LEAST_MEMORY_LIMIT} to start"
        )
