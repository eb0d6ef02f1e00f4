"""`forefill inject`: what the injector would do to manifests in files, for pipelines and clusters without it."""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from forefill_operator import manifests
from forefill_operator.kube import admission, annotations, patches
from forefill_operator.kube.admission import Injection, Pod
from forefill_operator.kube.listeners import Candidate
from forefill_operator.kube.sidecar import Surface

DESCRIPTION = """\
Reads manifests (several documents, Lists too) and prints them with the sidecar in every pod and pod template that asks
for one by the annotation forefill.io/inject: "true". What can't have one is printed as it came, with the reason on
stderr and exit status 1. A pod that is injected here is left alone by the injector on the cluster.
"""
# Where the pod's template stands, from the manifest down.
TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
Manifest = dict[str, Any]


class Unusable(ValueError):
    """The sentence names the file or flag, and what is allowed."""


class Injected(Struct, frozen=True):
    """A manifest after the decision, and sentences for the user; `refused` when one of its pods can't be injected."""

    manifest: Manifest
    told: list[str]
    refused: bool = False


def main(arguments: Sequence[str]) -> int:
    """Exit status 0, 1 when a pod that asks can't be injected, 2 for what can't be read."""
    options = _parser().parse_args(arguments)
    try:
        candidates = _candidates(options.policy_file or [])
        surface = _surface(options)
        documents = _documents(options.filename)
        results = [inject(document, candidates, surface, options) for document in documents]
    except (Unusable, manifests.InvalidManifest) as error:
        print(f"forefill inject: {error}", file=sys.stderr)
        return 2
    yaml.safe_dump_all([result.manifest for result in results], sys.stdout, sort_keys=False)
    for sentence in (sentence for result in results for sentence in result.told):
        print(f"forefill inject: {sentence}", file=sys.stderr)
    return 1 if any(result.refused for result in results) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "forefill inject", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-f", "--filename", metavar="FILE", required=True, help="manifests; - reads stdin")
    parser.add_argument(
        "--policy-file",
        metavar="FILE",
        type=Path,
        action="append",
        required=True,
        help="TokenPolicies; may be repeated",
    )
    parser.add_argument("-n", "--namespace", default="default", help="of manifests that name none (default: default)")
    parser.add_argument("--all", action="store_true", help="also pods that do not say whether they want a sidecar")
    parser.add_argument("--image", help="the sidecar's image (default: ghcr.io/forefill/sidecar of this version)")
    parser.add_argument(
        "--operator", metavar="URL", help="where sidecars connect, wss://…; without it they stay at their safe rate"
    )
    parser.add_argument(
        "--ca-file", metavar="FILE", type=Path, help="PEM of the authority that the operator is trusted by"
    )
    return parser


def _candidates(paths: Iterable[Path]) -> dict[str, Candidate]:
    found: dict[str, Candidate] = {}
    for path in paths:
        for policy in manifests.read_file(path, {}):
            if policy.key in found:
                raise Unusable(f"{path}: TokenPolicy {policy.key} is there twice")
            found[policy.key] = Candidate(policy)
    return found


def _surface(options: argparse.Namespace) -> Surface:
    if bool(options.operator) != bool(options.ca_file):
        raise Unusable("--operator and --ca-file go together: a sidecar trusts no operator without its authority")
    try:
        bundle = options.ca_file.read_text(encoding="ascii") if options.ca_file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"--ca-file {options.ca_file}: can't be read: {error}") from None
    image = options.image or f"ghcr.io/forefill/sidecar:{metadata.version('forefill')}"
    return Surface(image=image, operator=options.operator or "", ca_bundle=bundle)


def _documents(name: str) -> list[Manifest]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        documents = list(yaml.safe_load_all(text))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Unusable(f"{name}: can't be read: {' '.join(str(error).split())}") from None
    for number, document in enumerate(documents, start=1):
        if document is not None and not isinstance(document, dict):
            raise Unusable(f"{name}, document {number}: a mapping is expected, not {type(document).__name__}")
    return [document for document in documents if document is not None]


def inject(
    manifest: Manifest, candidates: Mapping[str, Candidate], surface: Surface, options: argparse.Namespace
) -> Injected:
    """Raises Unusable for a workload without a pod template."""
    if manifest.get("kind") == "List":
        items = [inject(item, candidates, surface, options) for item in manifest.get("items") or []]
        told = [sentence for item in items for sentence in item.told]
        whole = {**manifest, "items": [item.manifest for item in items]}
        return Injected(whole, told, any(item.refused for item in items))
    steps = TEMPLATES.get(str(manifest.get("kind")))
    if steps is None:
        return Injected(manifest, [])
    metadata = manifest.get("metadata") or {}
    where = f"{manifest['kind']} {metadata.get('name', '')}"
    pod = _template(manifest, steps, where)
    namespace = metadata.get("namespace") or options.namespace
    decision = admission.decide(pod, namespace, _offered(pod, namespace, candidates), surface, by_default=options.all)
    if isinstance(decision, Injection):
        kept = [
            f"{where}: {name} is set already and was kept: its requests bypass the sidecar"
            for name in decision.bypassed
        ]
        return Injected(_replaced(manifest, steps, patches.apply(pod, decision.operations)), kept)
    if decision.reason:
        return Injected(manifest, [f"{where} gets no sidecar: {decision.reason}"], refused=True)
    return Injected(manifest, [])


def _template(manifest: Manifest, steps: Iterable[str], where: str) -> Pod:
    found: Any = manifest
    for step in steps:
        found = found.get(step) if isinstance(found, dict) else None
    spec = found.get("spec") if isinstance(found, dict) else None
    containers = spec.get("containers") if isinstance(spec, dict) else None
    named = [isinstance(entry, dict) and "name" in entry for entry in containers or []]
    if not named or not all(named):
        path = ".".join([*steps, "spec", "containers"])
        raise Unusable(f"{where}: {path} must be a list of containers with names")
    return {**found, "metadata": found.get("metadata") or {}}


def _offered(pod: Pod, namespace: str, candidates: Mapping[str, Candidate]) -> Mapping[str, Candidate]:
    """As the injector looks them up: those that the pod names, else all of its namespace."""
    if (pod["metadata"].get("annotations") or {}).get(annotations.POLICY):
        return candidates
    return {key: held for key, held in candidates.items() if held.policy.namespace == namespace}


def _replaced(manifest: Manifest, steps: Sequence[str], template: Any) -> Manifest:
    if not steps:
        return {**manifest, **template}
    return {**manifest, steps[0]: _replaced(manifest[steps[0]], steps[1:], template)}
