"""Writes the status of each TokenPolicy: conditions at once when they change, figures at most once a minute."""

import asyncio
import datetime
import logging
from collections.abc import Callable, Mapping
from typing import Any

from forefill_operator import status
from forefill_operator.controller import Controller
from forefill_operator.kube import api, events
from forefill_operator.kube.events import Events
from forefill_operator.kube.policies import Policies
from forefill_operator.policy import API_VERSION, PLURAL

LOOK_SECONDS = 1.0
FIGURES_SECONDS = 60.0

_log = logging.getLogger("forefill.status")
Manifest = Mapping[str, Any]


def is_due(wanted: Manifest, written: Manifest, seconds_since: float) -> bool:
    """A condition, the generation or the first status is written at once; figures alone wait."""
    if {**wanted, "conditions": None} == {**written, "conditions": None} and _told(wanted) == _told(written):
        return False
    urgent = ("observedGeneration", "clamped")
    return _told(wanted) != _told(written) or any(wanted.get(k) != written.get(k) for k in urgent) or (
        seconds_since >= FIGURES_SECONDS
    )  # fmt: skip


def _told(manifest: Manifest) -> list[tuple[object, ...]]:
    """What conditions say, without when they began to say it."""
    return [
        tuple(c.get(field) for field in ("type", "status", "reason", "message", "observedGeneration"))
        for c in manifest.get("conditions") or []
    ]


class Statuses:
    def __init__(
        self,
        client: api.Api,
        controller: Controller,
        policies: Policies,
        events: Events,
        clock: Callable[[], float],
    ) -> None:
        self._api = client
        self._events = events
        self._controller = controller
        self._policies = policies
        self._clock = clock
        # By uid: a policy that comes back under its name has no status yet.
        self._written: dict[str, tuple[Manifest, float]] = {}

    async def keep(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.write()

    async def write(self) -> None:
        """Write each status that is due."""
        present = {body["metadata"]["uid"] for body in self._policies.bodies.values()}
        self._written = {uid: written for uid, written in self._written.items() if uid in present}
        for key in list(self._policies.bodies):
            await self._write(key)

    async def _write(self, key: str) -> None:
        now = self._clock()
        value = self._controller.status(key, now)
        body = self._policies.bodies.get(key)
        if value is None or body is None:
            return
        uid = body["metadata"]["uid"]
        written, at = self._written.get(uid, (body.get("status") or {}, -FIGURES_SECONDS))
        wanted = status.manifest(value, written, _wall_time())
        if not is_due(wanted, written, now - at):
            return
        try:
            await self._api.patch(_path(body), {"status": _with_removals(wanted, written)})
        except api.NotFound:
            return
        except api.ApiError as error:
            _log.warning("the status of TokenPolicy %s could not be written: %s", key, error, extra={"policy": key})
            return
        self._written[uid] = (wanted, now)
        for happening in events.transitions(written, wanted):
            _log.info("TokenPolicy %s: %s %s", key, happening.action, happening.note, extra={"policy": key})
            await self._events.post(events.policy(body), happening)


def _with_removals(wanted: Manifest, written: Manifest) -> dict[str, Any]:
    """A merge patch takes a field away only when it is named as null."""
    return {**{field: None for field in written.keys() - wanted.keys()}, **wanted}


def _path(body: Manifest) -> str:
    metadata = body["metadata"]
    return api.path(API_VERSION, PLURAL, metadata["namespace"], metadata["name"], "status")


def _wall_time() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
