"""Checks the machine, and installs the Debian packages that the cluster needs."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from . import addresses, versions
from .commands import ClusterError, output
from .progress import Progress

ANYWHERE = "with Docker and kind installed it does without"


def obstacle() -> str | None:
    """Why this machine cannot be the node, in one sentence, or None."""
    if sys.platform != "linux":
        return f"the cluster needs Linux, and this is {sys.platform}; {ANYWHERE}."
    if os.geteuid():
        return f"the cluster needs root, since it makes network interfaces and mounts; {ANYWHERE}."
    if shutil.which("go") is None:
        return "go (1.26 or newer) is not installed; it builds Kubernetes, helm and CoreDNS."
    if missing(versions.DEBIAN_PACKAGES) and shutil.which("apt-get") is None:
        names = ", ".join(missing(versions.DEBIAN_PACKAGES))
        return f"{names} are missing, and there is no apt-get to install them with."
    return None


def missing(packages: dict[str, str]) -> list[str]:
    return [name for name, proof in packages.items() if not Path(proof).exists()]


def ensure(progress: Progress) -> None:
    """Install what is absent; services that packages bring are not started."""
    install(missing(versions.DEBIAN_PACKAGES), progress)


def install(names: list[str], progress: Progress) -> None:
    """Without the services that they bring. Raises `ClusterError`."""
    if not names:
        return
    with progress.step(f"Install {', '.join(names)}"), no_services():
        environment = {"DEBIAN_FRONTEND": "noninteractive"}
        output(["apt-get", "update", "-q"], env=environment, timeout_seconds=600)
        command = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *names]
        output(command, env=environment, timeout_seconds=1800)


class no_services:
    """While it lasts, Debian packages do not start the services they bring."""

    policy = Path("/usr/sbin/policy-rc.d")

    def __enter__(self) -> None:
        self.mine = not self.policy.exists()
        if self.mine:
            self.policy.write_text("#!/bin/sh\nexit 101\n")
            self.policy.chmod(0o755)

    def __exit__(self, *_: object) -> None:
        if self.mine:
            self.policy.unlink(missing_ok=True)


def taken(address: str, ports: Iterable[int]) -> list[str]:
    found = []
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                found.append(f"{address}:{port}")
    return found


def check_ports() -> None:
    """Raises `ClusterError` when another program listens on a component's port; needs the node's bridge."""
    found = taken("127.0.0.1", addresses.LOOPBACK_PORTS) + taken(addresses.NODE, addresses.NODE_PORTS)
    if found:
        raise ClusterError(f"another program listens on {', '.join(found)}; end it first.")
