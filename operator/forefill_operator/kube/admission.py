"""From a pod and the policies it names to the patch that adds its sidecar, or to the reason why not. Pure."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from forefill_operator import selection
from forefill_operator.kube import annotations, listeners, mesh, patches, resources, sidecar
from forefill_operator.kube.listeners import Candidate, NotInjectable
from forefill_operator.kube.patches import Operation
from forefill_operator.kube.sidecar import Surface
from forefill_protocol import podsettings
from forefill_protocol.podsettings import PodSettings, PolicyListener

# Linux takes no longer string in a program's environment than 128 KiB.
MOST_SETTINGS_BYTES = 120_000

Pod = Mapping[str, Any]


class Injection(Struct, frozen=True):
    """The sidecar goes in. `bypassed` names CONTAINER/VARIABLE pairs that the pod sets itself and that were kept."""

    operations: list[Operation]
    policies: list[str]
    bypassed: list[str]


class Untouched(Struct, frozen=True):
    """No sidecar goes in. `reason` is empty when the pod never asked, or has its sidecar already.

    With a reason, `operations` leave it in the pod's status annotation and change nothing else.
    """

    reason: str = ""
    operations: list[Operation] = []


def decide(
    pod: Pod, namespace: str, candidates: Mapping[str, Candidate], surface: Surface, *, by_default: bool = False
) -> Injection | Untouched:
    """`candidates` by key: those that the pod names, or all of its namespace when it names none.

    `by_default`: pods of this namespace that do not say whether they want a sidecar get one.
    """
    if not annotations.wants_sidecar(_annotations(pod), by_default=by_default) or _is_injected(pod):
        return Untouched()
    try:
        _refuse_impossible(pod)
        chosen = _choose(pod, namespace, candidates)
        served = listeners.make(chosen, _declared_ports(pod))
        size = resources.choose(surface.resources, (one.annotations for one in chosen), _annotations(pod))
        return _inject(pod, surface, served, listeners.variables(chosen, served), size)
    except (NotInjectable, annotations.BadAnnotation) as refusal:
        return refused(pod, str(refusal))


def refused(pod: Pod, reason: str) -> Untouched:
    """The pod starts without a sidecar, and says why."""
    existing = pod["metadata"].get("annotations")
    status = json.dumps({"refused": reason})
    if (existing or {}).get(annotations.STATUS) == status:
        return Untouched(reason)
    return Untouched(reason, patches.set_keys("/metadata/annotations", existing, {annotations.STATUS: status}))


def _annotations(pod: Pod) -> Mapping[str, str]:
    return pod["metadata"].get("annotations") or {}


def _init_containers(pod: Pod) -> list[dict[str, Any]]:
    return pod["spec"].get("initContainers") or []


def _containers(pod: Pod) -> list[dict[str, Any]]:
    return [*_init_containers(pod), *pod["spec"]["containers"]]


def _is_injected(pod: Pod) -> bool:
    return any(
        entry["name"] == sidecar.CONTAINER and podsettings.VARIABLE in _set_by(entry) for entry in _init_containers(pod)
    )


def _set_by(container: Mapping[str, Any]) -> set[str]:
    return {variable["name"] for variable in container.get("env") or []}


def _refuse_impossible(pod: Pod) -> None:
    spec = pod["spec"]
    if spec.get("hostNetwork"):
        raise NotInjectable(
            "the pod uses hostNetwork: its sidecar's ports would be the node's, open to every pod there"
        )
    wanted = (spec.get("os") or {}).get("name") or (spec.get("nodeSelector") or {}).get("kubernetes.io/os")
    if wanted == "windows":
        raise NotInjectable("the pod is for Windows, and the sidecar's image is for Linux")
    if any(entry["name"] == sidecar.CONTAINER for entry in _containers(pod)):
        raise NotInjectable(f"the pod has a container of its own that is named {sidecar.CONTAINER}")
    taken = {sidecar.TOKEN_VOLUME, sidecar.STATE_VOLUME}
    for volume in spec.get("volumes") or []:
        if volume["name"] in taken:
            raise NotInjectable(f"the pod has a volume of its own that is named {volume['name']}")


def _choose(pod: Pod, namespace: str, candidates: Mapping[str, Candidate]) -> list[Candidate]:
    """The policies of the pod, each of which admits it."""
    keys = annotations.named_policies(_annotations(pod), namespace) or [_only(namespace, candidates)]
    labels = pod["metadata"].get("labels") or {}
    chosen = []
    for key in keys:
        if key not in candidates:
            raise NotInjectable(f"there is no TokenPolicy {key} that can be served")
        if not selection.admits(candidates[key].policy, namespace, labels):
            raise NotInjectable(f"TokenPolicy {key} does not admit this pod: see its spec.clients")
        chosen.append(candidates[key])
    return chosen


def _only(namespace: str, candidates: Mapping[str, Candidate]) -> str:
    here = sorted(key for key in candidates if key.startswith(f"{namespace}/"))
    if len(here) == 1:
        return here[0]
    found = f"{len(here)} TokenPolicies ({', '.join(here)})" if here else "no TokenPolicy"
    raise NotInjectable(f"namespace {namespace} has {found}: name one by the annotation {annotations.POLICY}")


def _declared_ports(pod: Pod) -> set[int]:
    ports = [port for entry in _containers(pod) for port in entry.get("ports") or []]
    return {port["containerPort"] for port in ports if port.get("protocol", "TCP") == "TCP"}


def _inject(
    pod: Pod,
    surface: Surface,
    served: list[PolicyListener],
    variables: Mapping[str, str],
    size: Mapping[str, Any],
) -> Injection:
    settings = PodSettings(listeners=served, operator=surface.operator, ca_bundle=surface.ca_bundle)
    if len(podsettings.encode(settings)) > MOST_SETTINGS_BYTES:
        raise NotInjectable(
            "the caBundles of the pod's TokenPolicies are too large together for one container's environment"
        )
    metadata, spec = pod["metadata"], pod["spec"]
    operations, bypassed = _set_variables(pod, variables)
    operations += patches.append("/spec/volumes", spec.get("volumes"), sidecar.volumes(settings))
    # Last of the changes to initContainers, so that the indexes above are those of the pod as it came.
    container = sidecar.container(surface, settings, size)
    operations.append(patches.insert("/spec/initContainers", spec.get("initContainers"), _place(pod), container))
    operations += patches.set_keys("/metadata/labels", metadata.get("labels"), {annotations.INJECTED: "true"})
    told = {annotations.STATUS: _status(served, bypassed), **mesh.exclusions(_annotations(pod))}
    operations += patches.set_keys("/metadata/annotations", metadata.get("annotations"), told)
    return Injection(operations, [listener.policy for listener in served], bypassed)


def _place(pod: Pod) -> int:
    """Before all other init containers, so that they reach it; but behind a mesh, through which it goes itself."""
    places = [index for index, entry in enumerate(_init_containers(pod)) if entry["name"] in mesh.CONTAINERS]
    return places[-1] + 1 if places else 0


def _status(served: Iterable[PolicyListener], bypassed: list[str]) -> str:
    ports = {listener.policy: {"port": listener.port} for listener in served}
    return json.dumps({"policies": ports, "bypassed": bypassed}, sort_keys=True)


def _set_variables(pod: Pod, variables: Mapping[str, str]) -> tuple[list[Operation], list[str]]:
    """Patches that add to each container what it does not set itself, and the CONTAINER/VARIABLE pairs that it does."""
    operations, bypassed = [], []
    for kind in ("initContainers", "containers"):
        for index, entry in enumerate(pod["spec"].get(kind) or []):
            if entry["name"] in mesh.CONTAINERS:
                continue
            own = _set_by(entry)
            added = [{"name": name, "value": value} for name, value in variables.items() if name not in own]
            operations += patches.append(f"/spec/{kind}/{index}/env", entry.get("env"), added)
            bypassed += [f"{entry['name']}/{name}" for name in variables if name in own]
    return operations, bypassed
