"""Finds pods that asked for a sidecar and run without one: the webhook fails open, and silently."""

import asyncio
import json
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

from msgspec import Struct

from forefill_operator.kube import annotations, api
from forefill_operator.kube.events import Events, Happening, Regarding

LOOK_SECONDS = 60.0
# After an outage of the injector thousands may be without; the rest are told of in the next looks.
MOST_TOLD = 100
MIRROR = "kubernetes.io/config.mirror"
UNKNOWN = (
    "no injector answered when the pod was created, or its namespace is excluded (webhook.excludedNamespaces); "
    "delete the pod to have it made again"
)

_log = logging.getLogger("forefill.missed")


class Missed(Struct, frozen=True):
    """A pod that runs without the sidecar it asked for, and why."""

    namespace: str
    name: str
    uid: str
    why: str


def missed(pod: api.Object, by_default: Collection[str]) -> Missed | None:
    """`pod` needs nothing but metadata; `by_default` are the namespaces that want a sidecar in every pod."""
    metadata = pod["metadata"]
    said, namespace = metadata.get("annotations") or {}, metadata["namespace"]
    if MIRROR in said or "deletionTimestamp" in metadata or annotations.INJECTED in (metadata.get("labels") or {}):
        return None
    if not annotations.wants_sidecar(said, by_default=namespace in by_default):
        return None
    return Missed(namespace, metadata["name"], metadata["uid"], _why(said))


def _why(said: Mapping[str, str]) -> str:
    try:
        status: Any = json.loads(said.get(annotations.STATUS, ""))
    except ValueError:
        return UNKNOWN
    refused = status.get("refused") if isinstance(status, dict) else None
    return refused if isinstance(refused, str) else UNKNOWN


class MissedPods:
    """`counted` hears how many there are after each look."""

    def __init__(self, client: api.Api, events: Events, counted: Callable[[int], None]) -> None:
        self._api = client
        self._events = events
        self._counted = counted
        self._told: set[str] = set()

    async def watch(self) -> None:
        while True:
            try:
                await self.look()
            except api.ApiError as error:
                _log.warning("nobody can say which pods run without the sidecar they asked for: %s", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """One Event for each pod that was not told of before. Raises api.ApiError."""
        wanting = await self._api.list(
            api.path("v1", "namespaces"), metadata_only=True, labelSelector=f"{annotations.INJECT}=enabled"
        )
        pods = await self._api.list(
            api.path("v1", "pods"),
            metadata_only=True,
            labelSelector=f"!{annotations.INJECTED}",
            fieldSelector="status.phase!=Succeeded,status.phase!=Failed",
        )
        names = {namespace["metadata"]["name"] for namespace in wanting.items}
        found = [one for pod in pods.items if (one := missed(pod, names)) is not None]
        self._counted(len(found))
        new = [one for one in found if one.uid not in self._told][:MOST_TOLD]
        self._told &= {one.uid for one in found}
        for one in new:
            where = f"{one.namespace}/{one.name}"
            _log.warning("pod %s runs without a sidecar: %s", where, one.why, extra={"client": where})
            about = Regarding("v1", "Pod", one.namespace, one.name, one.uid)
            note = f"The pod asked for a Forefill sidecar and runs without one: {one.why}"
            await self._events.post(about, Happening("Warning", "NotInjected", "Inject", note))
            self._told.add(one.uid)
