"""The load of the pods behind an upstream's Service, from the metrics API (metrics.k8s.io). Source `kubernetes`.

Each part is what all containers use by what all of them may use: their limits, where there is none their requests. The
metrics API knows no network, so that the load is the mean of CPU and memory.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from forefill_operator.kube import api, quantities
from forefill_operator.kube.api import Api, ApiError, Object
from forefill_operator.load.readings import Fault, Part, Rates, Reading, bounded
from forefill_operator.load.sources import EVERYBODY
from forefill_operator.policy import TokenPolicy

METRICS_API = "metrics.k8s.io/v1beta1"
# metrics-server measures every 15 s.
FRESH_SECONDS = 15.0
MOST_AT_ONCE = 4
RESOURCES: Sequence[Part] = ("cpu", "memory")
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


class Service(NamedTuple):
    namespace: str
    name: str


@dataclass
class _Asked:
    at: float
    answer: "asyncio.Future[Mapping[Part, Reading]]"


class KubernetesMetrics:
    """A policy may ask about Services of its own namespace; policies of `namespaces` about every Service."""

    def __init__(
        self, client: Api, namespaces: Sequence[str] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._namespaces = namespaces
        self._clock = clock
        self._at_once = asyncio.Semaphore(MOST_AT_ONCE)
        self._asked: dict[Service, _Asked] = {}

    def allows(self, policy: TokenPolicy) -> bool:
        service = service_of(policy)
        trusted = EVERYBODY in self._namespaces or policy.namespace in self._namespaces
        return trusted or service is None or service.namespace == policy.namespace

    async def read(self, policy: TokenPolicy) -> Mapping[Part, Reading]:
        service = service_of(policy)
        if service is None:
            sentence = f"can't be measured: {policy.spec.upstream.url} is no Service of this cluster"
            return _nothing(Fault("NotMeasured", sentence))
        now = self._clock()
        self._asked = {each: asked for each, asked in self._asked.items() if now - asked.at < FRESH_SECONDS}
        asked = self._asked.get(service)
        if asked is None:
            answer = asyncio.get_running_loop().create_task(self._measure(service))
            asked = self._asked[service] = _Asked(now, answer)
        return await asyncio.shield(asked.answer)

    async def rates(self, policy: TokenPolicy) -> Rates | None:
        return None

    async def close(self) -> None:
        for asked in self._asked.values():
            asked.answer.cancel()

    async def _measure(self, service: Service) -> Mapping[Part, Reading]:
        async with self._at_once:
            try:
                found = await self._client.get(api.path("v1", "services", *service))
                selector = (found.get("spec") or {}).get("selector") or {}
                if not selector:
                    return _nothing(Fault("NotMeasured", f"can't be measured: Service {service.name} selects no pods"))
                labels = ",".join(f"{key}={value}" for key, value in selector.items())
                pods = await self._client.list(api.path("v1", "pods", service.namespace), labelSelector=labels)
                usages = await self._client.get(api.path(METRICS_API, "pods", service.namespace), labelSelector=labels)
            except ApiError as error:
                return _nothing(_fault(error))
        return parts_of(pods.items, usages.get("items") or [])


def service_of(policy: TokenPolicy) -> Service | None:
    """The Service that the upstream's host names, as a pod of the policy's namespace would resolve it."""
    labels = (urlsplit(policy.spec.upstream.url).hostname or "").split(".")
    service = Service(labels[1] if len(labels) > 1 else policy.namespace, labels[0])
    if (len(labels) > 2 and labels[2] != "svc") or not all(_NAME.fullmatch(name) for name in service):
        return None
    return service


def parts_of(pods: Iterable[Object], usages: Iterable[Object]) -> Mapping[Part, Reading]:
    """CPU and memory in use by what may be used, of the containers that `usages` (PodMetrics) tell of."""
    resources = {pod["metadata"]["name"]: _container_resources(pod) for pod in pods}
    used: list[tuple[str, Object]] = []
    for usage in usages:
        name = usage["metadata"]["name"]
        if name in resources:
            used += [(name, container) for container in usage.get("containers") or []]
    if not used:
        return _nothing(Fault("NotMeasured", "can't be measured: the metrics API tells of none of the Service's pods"))
    return {part: _part(part, used, resources) for part in RESOURCES}


def _part(part: Part, used: Iterable[tuple[str, Object]], resources: Mapping[str, Mapping[str, Any]]) -> Reading:
    total = most = 0.0
    for pod, container in used:
        name = container["name"]
        declared = resources[pod].get(name) or {}
        text = (declared.get("limits") or {}).get(part) or (declared.get("requests") or {}).get(part)
        if text is None:
            sentence = f"can't be measured: container {name} of pod {pod} has neither a limit nor a request for it"
            return Reading(None, Fault("NotMeasured", sentence))
        try:
            total += amount(container["usage"][part])
            most += amount(text)
        except (ValueError, KeyError) as error:
            return Reading(None, Fault("BadAnswer", f"can't be read for pod {pod}: {error}"))
    if most <= 0.0:
        return Reading(None, Fault("NotMeasured", "can't be measured: the limits are 0"))
    # Above its request a container may use what is free: 1 is then all that it is sure of.
    return bounded(min(total / most, 1.0))


def amount(quantity: str) -> float:
    """Cores or bytes; usage also comes in billionths, and may be 0. Raises ValueError."""
    for suffix, factor in (("n", 1e-9), ("u", 1e-6)):
        if quantity.endswith(suffix) and quantity[:-1].isdigit():
            return float(quantity[:-1]) * factor
    return 0.0 if quantity.strip("KMGTPEimk") == "0" else float(quantities.parse(quantity))


def _container_resources(pod: Object) -> Mapping[str, Any]:
    spec = pod.get("spec") or {}
    containers = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    return {container["name"]: container.get("resources") or {} for container in containers}


def _nothing(fault: Fault) -> Mapping[Part, Reading]:
    return {part: Reading(None, fault) for part in RESOURCES}


def _fault(error: ApiError) -> Fault:
    if isinstance(error, api.Away):
        return Fault("Unreachable", "can't be asked: the API server does not answer")
    if error.status == 404:
        return Fault("NotMeasured", f"can't be measured, is there a metrics-server? {error}"[:300])
    return Fault("Refused", f"may not be measured by the operator: {error}"[:300])
