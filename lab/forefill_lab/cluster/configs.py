"""Configuration files of the components, rendered as text. Kubernetes reads JSON wherever it reads YAML."""

from __future__ import annotations

import base64
import json
from typing import Any

from . import addresses, versions
from .paths import Paths

CGROUP_ROOT = "/forefill-cluster"
TOLERANCE = {
    "cgroupDriver": "cgroupfs",
    "cgroupRoot": CGROUP_ROOT,
    "failCgroupV1": False,
    "failSwapOn": False,
    "enforceNodeAllocatable": [],
    "makeIPTablesUtilChains": False,
    # A full disk of the developer's must neither evict the pods under test nor delete their images.
    "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
    "imageGCHighThresholdPercent": 100,
    "imageGCLowThresholdPercent": 99,
}
"""Settings of the kubelet by which it runs on machines that a production node would not be."""


def render(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"


def kubeconfig(user: str, authority_pem: bytes, certificate_pem: bytes, key_pem: bytes) -> str:
    def encoded(content: bytes) -> str:
        return base64.b64encode(content).decode()

    cluster = {"server": addresses.API_SERVER, "certificate-authority-data": encoded(authority_pem)}
    credentials = {"client-certificate-data": encoded(certificate_pem), "client-key-data": encoded(key_pem)}
    return render(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "forefill", "cluster": cluster}],
            "users": [{"name": user, "user": credentials}],
            "contexts": [{"name": "forefill", "context": {"cluster": "forefill", "user": user}}],
            "current-context": "forefill",
        }
    )


def containerd(paths: Paths) -> str:
    """containerd's config, version 2, for containerd 1.6 and 1.7. All its folders are the cluster's own."""
    # Where the machine may not lower oom_score_adj, every sandbox fails without restrict_oom_score_adj.
    return f"""version = 2
root = "{paths.state}/containerd"
state = "{paths.run}/containerd"

[grpc]
  address = "{paths.containerd_socket}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{paths.state}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{versions.PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{paths.cni}"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{paths.run}/runc"
        SystemdCgroup = false
"""


def cni(paths: Paths) -> str:
    bridge = {
        "type": "bridge",
        "bridge": addresses.POD_BRIDGE,
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": f"{paths.state}/addresses",
            "ranges": [[{"subnet": addresses.PODS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return render({"cniVersion": "0.4.0", "name": addresses.POD_NETWORK, "plugins": [bridge, portmap]})


def kubelet(paths: Paths) -> str:
    folder = paths.certificates
    return render(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": addresses.NODE,
            "healthzBindAddress": "127.0.0.1",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{folder}/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": f"{folder}/kubelet.crt",
            "tlsPrivateKeyFile": f"{folder}/kubelet.key",
            "containerRuntimeEndpoint": f"unix://{paths.containerd_socket}",
            "clusterDNS": [addresses.NODE],
            "clusterDomain": addresses.DOMAIN,
            "podLogsDir": f"{paths.state}/pod-logs",
            "volumePluginDir": f"{paths.state}/volume-plugins",
            **TOLERANCE,
        }
    )


def kube_proxy(paths: Paths) -> str:
    unchanged = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    return render(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "bindAddress": addresses.NODE,
            "metricsBindAddress": f"127.0.0.1:{addresses.PROXY_METRICS_PORT}",
            "healthzBindAddress": f"127.0.0.1:{addresses.PROXY_HEALTH_PORT}",
            "nodePortAddresses": [f"{addresses.NODE}/32"],
            "hostnameOverride": addresses.NODE_NAME,
            "clientConnection": {"kubeconfig": f"{paths.configs}/kube-proxy.kubeconfig"},
            "mode": "iptables",
            "clusterCIDR": addresses.PODS,
            "conntrack": unchanged,
            # Node ports on 127.0.0.1 would make kube-proxy set route_localnet on the whole machine.
            "iptables": {"localhostNodePorts": False, "minSyncPeriod": "100ms"},
        }
    )


def corefile(paths: Paths) -> str:
    return f""".:{addresses.DNS_PORT} {{
    bind {addresses.NODE}
    errors
    ready 127.0.0.1:{addresses.DNS_READY_PORT}
    kubernetes {addresses.DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {paths.configs}/coredns.kubeconfig
        fallthrough in-addr.arpa ip6.arpa
        ttl 5
    }}
    loadbalance
}}
"""


def dns_rights() -> str:
    """What CoreDNS, a client like any other, may read."""
    rules = [
        {"apiGroups": [""], "resources": ["services", "namespaces", "pods"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "forefill-cluster-dns"},
        "rules": rules,
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "forefill-cluster-dns"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "forefill-cluster-dns",
        },
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "coredns"}],
    }
    return render({"apiVersion": "v1", "kind": "List", "items": [role, binding]})
