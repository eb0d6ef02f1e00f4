"""Ends the cluster and takes back all that it made, also after a half-failed start or a killed harness.

Nothing here trusts what came before: pods are asked to end while a control plane is there to do it,
and then every trace is removed by its own mark (environment, control group, folder, name).
"""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

from . import cgroups, network, processes
from .commands import output, succeeds
from .paths import Paths
from .progress import Progress

POD_SECONDS = 20
GRACE_SECONDS = 5.0
SWEEPS = 3
MAKERS_OF_PODS = ("kube-controller-manager", "kube-scheduler")
KUBERNETES_NAMES = ("kubelet", "kube-proxy", "coredns", "kube-apiserver", "etcd")
SHIM_SOCKETS = Path("/run/containerd/s")
CONTAINER_LOGS = Path("/var/log/containers")
CNI_RESULTS = Path("/var/lib/cni/results")
DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")
SHARED_FOLDERS = (
    SHIM_SOCKETS,
    SHIM_SOCKETS.parent,
    CONTAINER_LOGS,
    CNI_RESULTS,
    CNI_RESULTS.parent,
    DEVICE_PLUGINS,
    DEVICE_PLUGINS.parent,
)
"""Folders at fixed places that components make; removed when empty."""


def down(paths: Paths, progress: Progress) -> None:
    """Leaves no process, mount, interface, namespace, rule or folder of the cluster; keeps the cache."""
    with progress.step("End the pods"):
        end_pods(paths)
    with progress.step("End the components"):
        end_components(paths)
    with progress.step("Remove mounts, interfaces, rules and folders"):
        cgroups.down()
        unmount_below(paths.run, paths.state)
        network.down(paths)
        remove_folders(paths)


def named(paths: Paths, *names: str) -> list[int]:
    return [pid for pid in processes.marked(paths.state) if processes.command_name(pid) in names]


def end_pods(paths: Paths) -> None:
    """Delete all pods while the kubelet can tear them down, after ending what would make new ones."""
    processes.end(named(paths, *MAKERS_OF_PODS), paths.state, grace_seconds=GRACE_SECONDS)
    if len(named(paths, "kubelet", "kube-apiserver", "containerd")) < 3:
        return
    kubectl = paths.state / "bin" / "kubectl"
    command = [str(kubectl), f"--kubeconfig={paths.kubeconfig}", f"--request-timeout={POD_SECONDS}s"]
    arguments = [
        "delete",
        "pods",
        "--all",
        "--all-namespaces",
        "--grace-period=1",
        f"--timeout={POD_SECONDS}s",
    ]
    # Pods that refuse to go are ended with their control group.
    succeeds([*command, *arguments], timeout_seconds=2 * POD_SECONDS)


def end_components(paths: Paths) -> None:
    for name in KUBERNETES_NAMES:
        processes.end(named(paths, name), paths.state, grace_seconds=GRACE_SECONDS)
    cgroups.kill_members()
    processes.end(named(paths, "containerd"), paths.state, grace_seconds=GRACE_SECONDS)
    # What is left are containerd's shims and network plugins in flight, which may start one another.
    for _ in range(SWEEPS):
        processes.end(processes.marked(paths.state), paths.state, grace_seconds=GRACE_SECONDS)


def mounts_below(mountinfo: str, *folders: Path) -> list[str]:
    """Mount points in or below the folders, the last mounted first, from the text of /proc/self/mountinfo."""
    points = [unescape(line.split()[4]) for line in mountinfo.splitlines()]
    return [point for point in reversed(points) if any(Path(point).is_relative_to(folder) for folder in folders)]


def unescape(point: str) -> str:
    """The kernel writes space, tab, newline and backslash of a mount point as octal numbers."""
    for character in " \t\n\\":
        point = point.replace(f"\\{ord(character):03o}", character)
    return point


def unmount_below(*folders: Path) -> None:
    for point in mounts_below(Path("/proc/self/mountinfo").read_text(), *folders):
        if not succeeds(["umount", point]):
            output(["umount", "--lazy", point])


def remove_folders(paths: Paths) -> None:
    for folder in (paths.run, paths.state):
        if folder.exists():
            shutil.rmtree(folder)
    for socket_file in (DEVICE_PLUGINS / "kubelet.sock", *SHIM_SOCKETS.glob("*")):
        unlink_if_deserted(socket_file)
    for left in (*dangling(CONTAINER_LOGS, paths.state), *mentioning(CNI_RESULTS, paths.run)):
        left.unlink()
    for folder in SHARED_FOLDERS:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def unlink_if_deserted(path: Path) -> None:
    """Remove a socket that nobody listens on: another kubelet's would answer."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()


def mentioning(folder: Path, run: Path) -> list[Path]:
    """Files that network plugins keep about a pod's interfaces, by the network namespace they name."""
    return [path for path in folder.glob("*") if f"{run}/" in path.read_text()]


def dangling(folder: Path, state: Path) -> list[Path]:
    """Links into the state folder; the kubelet makes them beside those of other runtimes."""
    if not folder.is_dir():
        return []
    return [link for link in folder.iterdir() if link.is_symlink() and Path(os.readlink(link)).is_relative_to(state)]
