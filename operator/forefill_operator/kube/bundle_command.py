"""`forefill bundle`: what a helper needs to see of an installation, in one archive without secrets."""

import argparse
import asyncio
import io
import json
import os
import platform
import sys
import tarfile
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from forefill_operator.kube import annotations, api, credentials, redaction
from forefill_operator.kube.events import CONTROLLER
from forefill_operator.policy import API_VERSION, PLURAL
from forefill_protocol.podsettings import HEALTH_PORT

DESCRIPTION = """\
Collects policies with their status, events, workloads, metrics, readiness and the ends of the logs of operator and
injector, and the same of a few sidecars. Reads no Secret; what looks like a password, token, key or credential in
anything else is taken out. Needs KUBECONFIG (or ~/.kube/config) and rights to read what it collects; what it may not
read it names in errors.txt.
"""
OURS = "app.kubernetes.io/part-of=forefill"
MOST_SIDECARS = 5
HEALTH = {"operator": 8080, "injector": 8080}


def main(arguments: Sequence[str]) -> int:
    """Exit status 0, 1 when a part could not be read, 2 when nobody answers or the file can't be written."""
    options = _parser().parse_args(arguments)
    try:
        bundle = asyncio.run(_collect(options))
        write(options.out, bundle.files)
    except (credentials.BadCredentials, api.Away, OSError) as error:
        print(f"forefill bundle: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {len(bundle.files)} files; look through it before you pass it on")
    for sentence in bundle.errors:
        print(f"forefill bundle: {sentence}", file=sys.stderr)
    return 1 if bundle.errors else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "forefill bundle", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    parser.add_argument("-n", "--namespace", default="forefill-system", help="of the installation")
    parser.add_argument("--out", type=Path, metavar="FILE", default=Path(f"forefill-bundle-{stamp}.tar.gz"))
    parser.add_argument("--tail", type=int, default=2000, metavar="LINES", help="of each log (default: 2000)")
    return parser


async def _collect(options: argparse.Namespace) -> "Bundle":
    async with api.Api(credentials.find(os.environ)) as client:
        bundle = Bundle(client, options.namespace, options.tail)
        await bundle.collect()
        return bundle


class Bundle:
    """`files` by name, redacted; `errors` are sentences about what could not be read."""

    def __init__(self, client: api.Api, namespace: str, tail: int) -> None:
        self._api = client
        self._namespace = namespace
        self._tail = tail
        self.files: dict[str, str] = {}
        self.errors: list[str] = []

    async def collect(self) -> None:
        """Raises api.Away when nobody answers at all."""
        server = await self._api.get("/version")
        self._put(
            "versions.yaml",
            {"forefill": metadata.version("forefill"), "python": platform.python_version(), "kubernetes": server},
        )
        await self._list("policies.yaml", api.path(API_VERSION, PLURAL))
        await self._list(
            "events.yaml", api.path("events.k8s.io/v1", "events"), fieldSelector=f"reportingController={CONTROLLER}"
        )
        for version, plural in (("apps/v1", "deployments"), ("v1", "services"), ("v1", "configmaps")):
            await self._list(f"{plural}.yaml", api.path(version, plural, self._namespace), labelSelector=OURS)
        await self._list(
            "lease.yaml", api.path("coordination.k8s.io/v1", "leases", self._namespace), labelSelector=OURS
        )
        await self._list(
            "webhooks.yaml",
            api.path("admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations"),
            labelSelector=OURS,
        )
        for pod in await self._list("pods.yaml", api.path("v1", "pods", self._namespace), labelSelector=OURS):
            component = pod["metadata"]["labels"].get("app.kubernetes.io/component", "")
            await self._pod(pod, component, HEALTH.get(component))
        await self._sidecars()
        self.files["errors.txt"] = "\n".join(self.errors) + "\n"

    async def _sidecars(self) -> None:
        """Metadata of injected pods only: their specs are their owners' own."""
        path = api.path("v1", "pods")
        found = await self._list(
            "sidecars.yaml", path, metadata_only=True, labelSelector=f"{annotations.INJECTED}=true"
        )
        for pod in found[:MOST_SIDECARS]:
            await self._pod(pod, "forefill", HEALTH_PORT)

    async def _pod(self, pod: api.Object, container: str, health_port: int | None) -> None:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        path, folder = api.path("v1", "pods", namespace, name), f"pods/{namespace}.{name}"
        if health_port is not None:
            for page in ("metrics", "readyz"):
                await self._text(f"{folder}/{page}.txt", f"{path}:{health_port}/proxy/{page}")
        await self._text(f"{folder}/log.txt", f"{path}/log", container=container, tailLines=str(self._tail))

    async def _list(self, name: str, path: str, *, metadata_only: bool = False, **query: str) -> list[api.Object]:
        try:
            listing = await self._api.list(path, metadata_only=metadata_only, **query)
        except api.ApiError as error:
            self.errors.append(f"{name}: {error}")
            return []
        self._put(name, listing.items)
        return listing.items

    async def _text(self, name: str, path: str, **query: str) -> None:
        try:
            self.files[name] = redaction.text(await self._api.text(path, **query))
        except api.ApiError as error:
            self.errors.append(f"{name}: {error}")

    def _put(self, name: str, document: Any) -> None:
        # Through JSON: equal parts become anchors otherwise, which nobody likes to read.
        plain = json.loads(json.dumps(redaction.document(document)))
        self.files[name] = yaml.safe_dump(plain, sort_keys=False, width=120)


def write(path: Path, files: dict[str, str]) -> None:
    """Readable by its owner alone. Raises OSError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
        with tarfile.open(fileobj=target, mode="w:gz") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(f"forefill-bundle/{name}")
                encoded = content.encode()
                member.size, member.mtime = len(encoded), int(time.time())
                archive.addfile(member, io.BytesIO(encoded))
