"""Lays the certificates, kubeconfigs and configuration files of all components into the state folder."""

from __future__ import annotations

import datetime
from pathlib import Path

from . import addresses, certificates, configs
from .certificates import Pair, Subject
from .paths import Paths

API_HOSTS = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    f"kubernetes.default.svc.{addresses.DOMAIN}",
    "localhost",
    "127.0.0.1",
    addresses.KUBERNETES_SERVICE,
    addresses.NODE,
)
SERVERS = {
    "kube-apiserver": Subject("kube-apiserver", hosts=API_HOSTS),
    "kubelet": Subject(addresses.NODE_NAME, hosts=(addresses.NODE_NAME, addresses.NODE)),
    # The name under which the API server calls the kubelet for logs and exec.
    "apiserver-kubelet": Subject("kube-apiserver-kubelet-client", "system:masters"),
}
USERS = {
    "admin": Subject("admin", "system:masters"),
    "kube-controller-manager": Subject("system:kube-controller-manager"),
    "kube-scheduler": Subject("system:kube-scheduler"),
    "kubelet": Subject(f"system:node:{addresses.NODE_NAME}", "system:nodes"),
    "kube-proxy": Subject("system:kube-proxy"),
    "coredns": Subject("coredns"),
}


def write(paths: Paths, now: datetime.datetime) -> None:
    for folder in (paths.state, paths.run, paths.certificates, paths.configs, paths.cni):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca = certificates.authority("forefill-cluster", now)
    (paths.certificates / "ca.crt").write_bytes(ca.certificate_pem)
    for name, subject in SERVERS.items():
        certificates.issue(ca, subject, now).write(paths.certificates, name)
    write_service_account_key(paths.certificates)
    for name, subject in USERS.items():
        write_kubeconfig(paths, name, ca, certificates.issue(ca, subject, now))
    write_configs(paths)


def write_service_account_key(folder: Path) -> None:
    key = certificates.new_key()
    certificates.write_private(folder / "service-accounts.key", certificates.private_pem(key))
    (folder / "service-accounts.pub").write_bytes(certificates.public_pem(key))


def write_kubeconfig(paths: Paths, name: str, ca: Pair, user: Pair) -> None:
    target = paths.kubeconfig if name == "admin" else paths.configs / f"{name}.kubeconfig"
    text = configs.kubeconfig(name, ca.certificate_pem, user.certificate_pem, user.key_pem)
    certificates.write_private(target, text.encode())


def write_configs(paths: Paths) -> None:
    (paths.configs / "containerd.toml").write_text(configs.containerd(paths))
    (paths.configs / "kubelet.json").write_text(configs.kubelet(paths))
    (paths.configs / "kube-proxy.json").write_text(configs.kube_proxy(paths))
    (paths.configs / "Corefile").write_text(configs.corefile(paths))
    (paths.configs / "dns-rights.json").write_text(configs.dns_rights())
    (paths.cni / "10-forefill.conflist").write_text(configs.cni(paths))
