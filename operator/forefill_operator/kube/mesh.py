"""A service mesh in the same pod: what Forefill says to it, and which containers are the mesh's. Pure.

The sidecar's requests to the upstream stay in the mesh, which encrypts and counts them like the app's own. What does
not is one inbound port, the sidecar's health and metrics: the kubelet and Prometheus speak plain HTTP there, which a
mesh in strict mode refuses. The app reaches the sidecar over loopback, which no mesh captures.
"""

from collections.abc import Mapping

from forefill_protocol import podsettings

# Annotations by which a mesh's own injector leaves inbound ports alone; both take a list separated by commas.
EXCLUSIONS = ("traffic.sidecar.istio.io/excludeInboundPorts", "config.linkerd.io/skip-inbound-ports")
CONTAINERS = frozenset(
    {
        "istio-init", "istio-validation", "istio-proxy",
        "linkerd-init", "linkerd-network-validator", "linkerd-proxy",
    }
)  # fmt: skip


def exclusions(annotations: Mapping[str, str]) -> dict[str, str]:
    """The annotations to set so that no mesh stands before the health port; what the pod excludes stays excluded."""
    port = str(podsettings.HEALTH_PORT)
    wanted = {}
    for name in EXCLUSIONS:
        ports = [each.strip() for each in annotations.get(name, "").split(",") if each.strip()]
        if port not in ports:
            wanted[name] = ",".join([*ports, port])
    return wanted
