"""Names, addresses and ports of the one node. Everything listens on loopback or on the node's own bridge."""

from __future__ import annotations

from typing import Final

NODE_NAME: Final = "forefill"
NODE_BRIDGE: Final = "forefill-node"
"""An empty bridge that only carries the node's address: not every kernel has dummy interfaces."""

POD_BRIDGE: Final = "forefill-pods"
POD_NETWORK: Final = "forefill"
NODE: Final = "10.211.0.1"
PODS: Final = "10.212.0.0/24"
SERVICES: Final = "10.96.0.0/16"
KUBERNETES_SERVICE: Final = "10.96.0.1"
DOMAIN: Final = "cluster.local"

API_PORT: Final = 6443
ETCD_PORT: Final = 23790
ETCD_PEER_PORT: Final = 23791
KUBELET_PORT: Final = 10250
KUBELET_HEALTH_PORT: Final = 10248
CONTROLLER_MANAGER_PORT: Final = 10257
SCHEDULER_PORT: Final = 10259
PROXY_METRICS_PORT: Final = 10249
PROXY_HEALTH_PORT: Final = 10256
DNS_PORT: Final = 53
DNS_READY_PORT: Final = 8181

API_SERVER: Final = f"https://{NODE}:{API_PORT}"
ETCD_SERVER: Final = f"http://127.0.0.1:{ETCD_PORT}"

LOOPBACK_PORTS: Final = (
    ETCD_PORT,
    ETCD_PEER_PORT,
    KUBELET_HEALTH_PORT,
    CONTROLLER_MANAGER_PORT,
    SCHEDULER_PORT,
    PROXY_METRICS_PORT,
    PROXY_HEALTH_PORT,
    DNS_READY_PORT,
)
NODE_PORTS: Final = (API_PORT, KUBELET_PORT, DNS_PORT)
