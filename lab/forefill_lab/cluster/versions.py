"""Every version the test cluster is made of, in one place."""

from __future__ import annotations

from typing import Final

KUBERNETES: Final = "v1.36.4"
KUBERNETES_STAGING: Final = "v0.36.4"
"""The version of the k8s.io libraries that are released together with `KUBERNETES`."""

ETCD: Final = "v3.6.8"
"""What k8s.io/kubernetes requires at that version; the build checks that it is what it got."""

HELM: Final = "v4.3.1"
COREDNS: Final = "v1.15.0"
PAUSE: Final = "1"

BASE_IMAGE: Final = "docker.io/library/python:3.11-slim-bookworm"
"""The tag that both Dockerfiles start from."""

BASE_SUITE: Final = "bookworm"
BASE_PACKAGES: Final = ("python3", "python3-venv", "ca-certificates")

IMAGE_PREFIX: Final = "localhost/forefill"
PAUSE_IMAGE: Final = f"{IMAGE_PREFIX}/pause:{PAUSE}"

DEBIAN_PACKAGES: Final = {
    "containerd": "/usr/bin/containerd",
    "runc": "/usr/sbin/runc",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "iptables": "/usr/sbin/iptables",
    "nftables": "/usr/sbin/nft",
    "conntrack": "/usr/sbin/conntrack",
    "buildah": "/usr/bin/buildah",
    "mmdebstrap": "/usr/bin/mmdebstrap",
    "iproute2": "/usr/bin/ip",
}
"""Debian package to the file that shows it is installed."""
