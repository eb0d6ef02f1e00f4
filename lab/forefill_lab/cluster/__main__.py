"""`python -m forefill_lab.cluster up|down|images|status|kubeconfig|values|env`."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence

from . import clusters, components, images, kind, processes, recipes
from . import up as node
from .clusters import Access
from .commands import ClusterError
from .paths import Paths
from .progress import Progress


def exports(access: Access) -> str:
    values = access.environment(os.environ.get("PATH", ""))
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in values.items())


def bring_up(progress: Progress) -> int:
    cluster = clusters.ensure(progress)
    print(progress.summary(), file=sys.stderr)
    print(f"kubeconfig      {cluster.kubeconfig}")
    print(f"operator image  {cluster.operator_image}")
    print(f"sidecar image   {cluster.sidecar_image}")
    print(exports(Access(cluster.kubeconfig, (cluster.kubectl, cluster.helm))))
    return 0


def take_down(progress: Progress) -> int:
    clusters.end(progress)
    return 0


def build_images(progress: Progress) -> int:
    for name in clusters.build_images(progress):
        print(name)
    return 0


def status(progress: Progress) -> int:
    """One line a component; 0 when the cluster serves, 1 when it does not."""
    paths = Paths.from_environment()
    if kind.usable():
        print(f"kind cluster {kind.NAME}: {'there' if kind.exists() else 'not there'}")
    known = {process.name: process for process in processes.recorded(paths.processes)}
    for name in components.NODE_COMPONENTS:
        process = known.get(name)
        words = "not started" if process is None else ("running" if processes.alive(process) else "ended")
        print(f"{name:<24} {words:<12} {process.pid if process else ''}".rstrip())
    return 0 if known and node.running(paths) else 1


def kubeconfig(progress: Progress) -> int:
    print(existing().kubeconfig)
    return 0


def values(progress: Progress) -> int:
    """The images as words for helm."""
    paths = Paths.from_environment()
    existing()
    for recipe in recipes.RECIPES:
        repository, _, tag = images.loaded(paths, recipe).rpartition(":")
        print(f"--set-string=image.{recipe.name}.repository={repository},image.{recipe.name}.tag={tag}")
    return 0


def environment(progress: Progress) -> int:
    print(exports(existing()))
    return 0


def existing() -> Access:
    found = clusters.existing()
    if found is None:
        raise ClusterError("no cluster is running; `python -m forefill_lab.cluster up` starts one.")
    return found


COMMANDS: dict[str, tuple[Callable[[Progress], int], str]] = {
    "up": (bring_up, "start the cluster, or bring the images of a running one up to date"),
    "down": (take_down, "end the cluster and remove all that it made; the cache of builds stays"),
    "images": (build_images, "build the operator's and the sidecar's image"),
    "status": (status, "show which components run; exit status 1 when the cluster does not serve"),
    "kubeconfig": (kubeconfig, "print the path of the kubeconfig"),
    "values": (values, "print the images that the cluster has as values of the chart"),
    "env": (environment, "print the exports that point kubectl and helm at the cluster"),
}


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="python -m forefill_lab.cluster", description="The test cluster.")
    subcommands = result.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, words) in COMMANDS.items():
        subcommands.add_parser(name, help=words, description=words)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    # Ended politely, a build must not go on without its harness.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    command, _ = COMMANDS[parser().parse_args(arguments).command]
    try:
        return command(Progress())
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; `python -m forefill_lab.cluster down` removes what was started.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
