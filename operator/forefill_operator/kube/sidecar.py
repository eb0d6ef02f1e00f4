"""The sidecar as a pod carries it: container, volumes, probes. Values in, dictionaries out."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from forefill_protocol import podsettings
from forefill_protocol.podsettings import PodSettings

CONTAINER = "forefill"
TOKEN_VOLUME = "forefill-token"
STATE_VOLUME = "forefill-state"
TOKEN_SECONDS = 3600
STATE_BYTES = "8Mi"

# The user of the image. Given as a number, because the kubelet can't check a name against runAsNonRoot.
USER = 65532


class Surface(Struct, frozen=True):
    """What all sidecars have in common. `operator` is the stream's URL, `ca_bundle` what it is trusted by."""

    image: str
    operator: str
    ca_bundle: str
    image_pull_policy: str = "IfNotPresent"
    resources: Mapping[str, Any] = {}


def container(surface: Surface, settings: PodSettings, resources: Mapping[str, Any]) -> dict[str, Any]:
    """A native sidecar: it starts before the pod's containers, outlives them, and does not keep a Job from ending."""
    return {
        "name": CONTAINER,
        "image": surface.image,
        "imagePullPolicy": surface.image_pull_policy,
        "command": ["forefill", "sidecar"],
        "restartPolicy": "Always",
        "env": [{"name": podsettings.VARIABLE, "value": podsettings.encode(settings)}],
        "ports": [{"name": "forefill", "containerPort": podsettings.HEALTH_PORT, "protocol": "TCP"}],
        # The process listens: no more. An operator or upstream that is away must not keep a pod from starting.
        "startupProbe": _probe("/healthz", periodSeconds=1, failureThreshold=60),
        "readinessProbe": _probe("/readyz", periodSeconds=5, failureThreshold=3),
        # A process that has answered nothing for a minute serves no request either.
        "livenessProbe": _probe("/healthz", periodSeconds=10, failureThreshold=6),
        "resources": dict(resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsGroup": USER,
            "runAsNonRoot": True,
            "runAsUser": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": TOKEN_VOLUME, "mountPath": settings.token_file.rpartition("/")[0], "readOnly": True},
            {"name": STATE_VOLUME, "mountPath": settings.state_directory},
        ],
    }


def volumes(settings: PodSettings) -> list[dict[str, Any]]:
    """The pod's token for Forefill, which no other audience takes, and where the last assignment outlives a crash."""
    token = {
        "audience": podsettings.TOKEN_AUDIENCE,
        "expirationSeconds": TOKEN_SECONDS,
        "path": settings.token_file.rpartition("/")[2],
    }
    return [
        {"name": TOKEN_VOLUME, "projected": {"sources": [{"serviceAccountToken": token}]}},
        {"name": STATE_VOLUME, "emptyDir": {"sizeLimit": STATE_BYTES}},
    ]


def _probe(path: str, **timing: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": podsettings.HEALTH_PORT}, "timeoutSeconds": 2, **timing}
