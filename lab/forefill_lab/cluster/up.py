"""Starts the node: builds what is missing, starts components, imports images, waits until it serves."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import (
    addresses,
    binaries,
    cgroups,
    components,
    credentials,
    images,
    network,
    packages,
    processes,
    recipes,
    resolver,
)
from .binaries import Binaries
from .commands import ClusterError, output, succeeds, tail
from .down import down
from .images import Image
from .paths import Paths
from .progress import Progress

READY_SECONDS = 90.0
POLL_SECONDS = 0.2
CONTAINERD = Path("/usr/bin/containerd")
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
NODE = ("kubelet", "kube-proxy", "coredns")


def up(paths: Paths, progress: Progress) -> dict[str, Image]:
    """Bring the cluster up, or bring the images of a running one up to date; returns the images by name."""
    prepare(progress)
    programs = binaries.ensure(paths.cache, progress)
    built = {recipe.name: images.ensure(paths, recipe, progress) for recipe in recipes.RECIPES}
    if running(paths):
        progress.say("The cluster is running already.")
        images.import_into_node(paths, built.values(), progress)
    else:
        start(paths, programs, [images.ensure_pause(paths, programs.pause), *built.values()], progress)
    return built


def prepare(progress: Progress) -> None:
    """Check the machine and install the Debian packages it lacks; raises `ClusterError` when it will not do."""
    reason = packages.obstacle()
    if reason:
        raise ClusterError(f"This machine cannot be the node: {reason}")
    packages.ensure(progress)


def running(paths: Paths) -> bool:
    """All components live, and the API server answers."""
    recorded = {process.name for process in processes.recorded(paths.processes) if processes.alive(process)}
    return recorded == set(components.NODE_COMPONENTS) and succeeds(kubectl(paths, "get", "--raw=/readyz"))


def kubectl(paths: Paths, *arguments: str) -> list[str]:
    return [str(paths.state / "bin" / "kubectl"), f"--kubeconfig={paths.kubeconfig}", *arguments]


def start(paths: Paths, programs: Binaries, archives: Iterable[Image], progress: Progress) -> None:
    if paths.state.exists() or processes.marked(paths.state):
        progress.say("What an earlier cluster left is removed first.")
        down(paths, progress)
    with progress.step("Lay certificates, configuration and network"):
        lay(paths, programs)
    launch(paths, programs, ["containerd"], progress)
    wait(paths, "containerd to answer", containerd_answers(paths))
    with ThreadPoolExecutor(max_workers=1) as background:
        importing = background.submit(images.import_into_node, paths, list(archives), progress)
        launch(paths, programs, CONTROL_PLANE, progress)
        with progress.step("Wait for the control plane"):
            wait(paths, "the API server to be ready", lambda: succeeds(kubectl(paths, "get", "--raw=/readyz")))
            output(kubectl(paths, "apply", "-f", str(paths.configs / "dns-rights.json")))
        importing.result()
    launch(paths, programs, NODE, progress)
    with progress.step("Wait for the node and its DNS"):
        wait(paths, "the node to be Ready", node_ready(paths))
        wait(
            paths,
            "the default service account",
            lambda: succeeds(kubectl(paths, "get", "serviceaccount", "default")),
        )
        wait(paths, "CoreDNS to be ready", dns_ready)


def lay(paths: Paths, programs: Binaries) -> None:
    credentials.write(paths, datetime.datetime.now(datetime.UTC))
    (paths.state / "bin").symlink_to(programs.folder)
    network.up(paths)
    cgroups.up()
    packages.check_ports()


def launch(paths: Paths, programs: Binaries, names: Iterable[str], progress: Progress) -> None:
    for name in names:
        program = CONTAINERD if name == "containerd" else programs[name]
        processes.start(
            name,
            program,
            components.NODE_COMPONENTS[name](paths),
            state=paths.state,
            records=paths.processes,
            logs=paths.logs,
            extra={"HOME": str(paths.state)},
        )
    progress.say(f"Started {', '.join(names)}.")


def containerd_answers(paths: Paths) -> Callable[[], bool]:
    return lambda: succeeds(["ctr", f"--address={paths.containerd_socket}", "version"])


def node_ready(paths: Paths) -> Callable[[], bool]:
    status = 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}'

    def ready() -> bool:
        return output(kubectl(paths, "get", "nodes", "-o", status)) == "True"

    return ready


def dns_ready() -> bool:
    name = f"kubernetes.default.svc.{addresses.DOMAIN}"
    return resolver.resolves(addresses.NODE, addresses.DNS_PORT, name, addresses.KUBERNETES_SERVICE)


def wait(paths: Paths, what: str, met: Callable[[], bool]) -> None:
    """Poll until `met`; raises `ClusterError` when a component ended, with its log, or the time is up."""
    until = time.monotonic() + READY_SECONDS
    while not met():
        for process in processes.recorded(paths.processes):
            if not processes.alive(process):
                raise ClusterError(f"{process.name} ended while waiting for {what}:\n{last_words(paths, process.name)}")
        if time.monotonic() > until:
            raise ClusterError(f"waited {READY_SECONDS:.0f} s for {what}, in vain; the logs are in {paths.logs}.")
        time.sleep(POLL_SECONDS)


def last_words(paths: Paths, name: str) -> str:
    return tail((paths.logs / f"{name}.log").read_text(errors="replace"))
