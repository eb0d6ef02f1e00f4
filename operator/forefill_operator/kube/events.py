"""Tells the users of an object what happened to it, as Kubernetes Events. Repeats are counted, not piled up."""

import datetime
import logging
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

from forefill_operator.kube import api
from forefill_operator.policy import API_VERSION, KIND

CONTROLLER = "forefill.io/operator"
# The same thing happening again within this time is one more of a series.
SERIES_SECONDS = 1800.0
# A series is written at most this often, whatever flaps.
REPEAT_SECONDS = 60.0
MOST_KEPT = 5000
LONGEST_NOTE = 1000

_log = logging.getLogger("forefill.events")
Manifest = Mapping[str, Any]


class Regarding(Struct, frozen=True):
    """The object that an Event is about."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


class Happening(Struct, frozen=True):
    """`reason` is one CamelCase word, `action` what was being done, `note` a sentence."""

    type: Literal["Normal", "Warning"]
    reason: str
    action: str
    note: str


def policy(body: Manifest) -> Regarding:
    """Objects of a list carry no apiVersion and kind of their own."""
    metadata = body["metadata"]
    return Regarding(API_VERSION, KIND, metadata["namespace"], metadata["name"], metadata["uid"])


def transitions(before: Manifest, after: Manifest) -> list[Happening]:
    """What changed from one status of a TokenPolicy to the next. Of a first status only whether it is accepted."""
    old = {condition["type"]: condition for condition in before.get("conditions") or []}
    happened = []
    for condition in after.get("conditions") or []:
        kind, earlier = condition["type"], old.get(condition["type"])
        if earlier is None and kind != "Accepted":
            continue
        if earlier is None or (earlier["status"], earlier["reason"]) != (condition["status"], condition["reason"]):
            happened.append(_happening(condition))
    return happened


def _happening(condition: Manifest) -> Happening:
    # Waiting for acknowledgements is a part of every change, and so is having nobody to wait for.
    bad = condition["status"] == "False" and condition["type"] != "Enforced" and condition["reason"] != "NoSource"
    return Happening("Warning" if bad else "Normal", condition["reason"], condition["type"], condition["message"])


class _Series(Struct):
    name: str
    count: int
    written_at: float
    last_at: float


class Events:
    """`clock` is monotonic. What can't be written is logged and forgotten: an Event is never worth a retry."""

    def __init__(self, client: api.Api, instance: str, clock: Callable[[], float]) -> None:
        self._api = client
        self._instance = instance
        self._clock = clock
        self._series: dict[tuple[str, str, str], _Series] = {}

    async def post(self, about: Regarding, happening: Happening) -> None:
        now = self._clock()
        key = (about.uid, happening.action, happening.reason)
        series = self._series.get(key)
        try:
            if (
                series is not None
                and now - series.last_at < SERIES_SECONDS
                and await self._repeated(about, series, now)
            ):
                return
            name = f"{about.name[:200]}.{secrets.token_hex(8)}"
            await self._api.create(_folder(about), _event(about, happening, name, self._instance))
            self._keep(key, _Series(name, 1, now, now))
        except api.ApiError as error:
            _log.warning(
                "the Event %s of %s/%s was not written: %s", happening.reason, about.namespace, about.name, error
            )

    async def _repeated(self, about: Regarding, series: _Series, now: float) -> bool:
        """Whether the series goes on; it does not when the API server has forgotten its Event."""
        series.count, series.last_at = series.count + 1, now
        if now - series.written_at < REPEAT_SECONDS and series.count > 2:
            return True
        change = {"series": {"count": series.count, "lastObservedTime": _micro_time()}}
        try:
            await self._api.patch(f"{_folder(about)}/{series.name}", change)
        except api.NotFound:
            return False
        series.written_at = now
        return True

    def _keep(self, key: tuple[str, str, str], series: _Series) -> None:
        self._series.pop(key, None)
        while len(self._series) >= MOST_KEPT:
            del self._series[next(iter(self._series))]
        self._series[key] = series


def _folder(about: Regarding) -> str:
    return api.path("events.k8s.io/v1", "events", about.namespace)


def _event(about: Regarding, happening: Happening, name: str, instance: str) -> api.Object:
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": about.namespace},
        "eventTime": _micro_time(),
        "reportingController": CONTROLLER,
        "reportingInstance": instance[:128],
        "action": happening.action,
        "reason": happening.reason,
        "type": happening.type,
        "note": happening.note[:LONGEST_NOTE],
        "regarding": {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "namespace": about.namespace,
            "name": about.name,
            "uid": about.uid,
        },
    }


def _micro_time() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
