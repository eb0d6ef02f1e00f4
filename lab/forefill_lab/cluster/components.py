"""The command line of each component, in the order in which they start."""

from __future__ import annotations

from . import addresses
from .paths import Paths


def etcd(paths: Paths) -> list[str]:
    peer = f"http://127.0.0.1:{addresses.ETCD_PEER_PORT}"
    return [
        "--name=forefill",
        f"--data-dir={paths.state}/etcd",
        f"--listen-client-urls={addresses.ETCD_SERVER}",
        f"--advertise-client-urls={addresses.ETCD_SERVER}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=forefill={peer}",
        "--log-level=warn",
        # The data lives as long as the cluster: nothing is lost by not waiting for the disk.
        "--unsafe-no-fsync",
    ]


def kube_apiserver(paths: Paths) -> list[str]:
    folder = paths.certificates
    return [
        f"--etcd-servers={addresses.ETCD_SERVER}",
        f"--bind-address={addresses.NODE}",
        f"--advertise-address={addresses.NODE}",
        f"--secure-port={addresses.API_PORT}",
        f"--client-ca-file={folder}/ca.crt",
        f"--tls-cert-file={folder}/kube-apiserver.crt",
        f"--tls-private-key-file={folder}/kube-apiserver.key",
        f"--kubelet-certificate-authority={folder}/ca.crt",
        f"--kubelet-client-certificate={folder}/apiserver-kubelet.crt",
        f"--kubelet-client-key={folder}/apiserver-kubelet.key",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-issuer=https://kubernetes.default.svc.{addresses.DOMAIN}",
        f"--service-account-key-file={folder}/service-accounts.pub",
        f"--service-account-signing-key-file={folder}/service-accounts.key",
        f"--service-cluster-ip-range={addresses.SERVICES}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        # Calls to webhooks go straight to the endpoints of their service.
        "--enable-aggregator-routing=true",
        "--profiling=false",
    ]


def kube_controller_manager(paths: Paths) -> list[str]:
    folder = paths.certificates
    return [
        f"--kubeconfig={paths.configs}/kube-controller-manager.kubeconfig",
        f"--root-ca-file={folder}/ca.crt",
        f"--service-account-private-key-file={folder}/service-accounts.key",
        "--use-service-account-credentials=true",
        "--bind-address=127.0.0.1",
        f"--cert-dir={paths.state}/kube-controller-manager",
        f"--flex-volume-plugin-dir={paths.state}/volume-plugins",
        "--leader-elect=false",
        "--profiling=false",
    ]


def kube_scheduler(paths: Paths) -> list[str]:
    return [
        f"--kubeconfig={paths.configs}/kube-scheduler.kubeconfig",
        "--bind-address=127.0.0.1",
        f"--cert-dir={paths.state}/kube-scheduler",
        "--leader-elect=false",
        "--profiling=false",
    ]


def containerd(paths: Paths) -> list[str]:
    return [f"--config={paths.configs}/containerd.toml", "--log-level=info"]


def kubelet(paths: Paths) -> list[str]:
    return [
        f"--config={paths.configs}/kubelet.json",
        f"--kubeconfig={paths.configs}/kubelet.kubeconfig",
        f"--root-dir={paths.state}/kubelet",
        f"--hostname-override={addresses.NODE_NAME}",
        f"--node-ip={addresses.NODE}",
    ]


def kube_proxy(paths: Paths) -> list[str]:
    return [f"--config={paths.configs}/kube-proxy.json"]


def coredns(paths: Paths) -> list[str]:
    return [f"-conf={paths.configs}/Corefile"]


NODE_COMPONENTS = {
    "etcd": etcd,
    "containerd": containerd,
    "kube-apiserver": kube_apiserver,
    "kube-controller-manager": kube_controller_manager,
    "kube-scheduler": kube_scheduler,
    "kubelet": kubelet,
    "kube-proxy": kube_proxy,
    "coredns": coredns,
}
