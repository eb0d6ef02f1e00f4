"""Brings TokenPolicies from the API server to the controller: one path for create, update, delete and restart."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from forefill_operator.controller import Controller, Deliveries
from forefill_operator.kube import api
from forefill_operator.policy import API_VERSION, PLURAL, InvalidPolicy, parse_policy

# A full list now and then makes up for whatever a watch has missed.
RESYNC_SECONDS = 300.0
# What a list shows a live watch has shown by then.
WATCH_GRACE_SECONDS = 15.0
PATH = api.path(API_VERSION, PLURAL)

_log = logging.getLogger("forefill.policies")


class Policies:
    """`bodies` is the newest manifest of each policy, for whoever writes its status. Runs in the operator's loop.

    `deaf` is a sentence once the watch has missed what a list showed.
    """

    def __init__(
        self, client: api.Api, controller: Controller, deliver: Callable[[Deliveries], None], clock: Callable[[], float]
    ) -> None:
        self._api = client
        self._controller = controller
        self._deliver = deliver
        self._clock = clock
        self.bodies: dict[str, Mapping[str, Any]] = {}
        self.invalid: set[str] = set()
        self.deaf: str | None = None
        # By key, the version that the watch told of last.
        self._watched: dict[str, int] = {}
        self._listed: dict[str, int] = {}

    def watched(self, body: Mapping[str, Any], deleted: bool) -> None:
        """One state of one policy, as the watch told of it."""
        key = _key(body)
        if deleted:
            self._watched.pop(key, None)
        else:
            self._watched[key] = _version(body)
        self.seen(body, deleted)

    def seen(self, body: Mapping[str, Any], deleted: bool) -> None:
        """One state of one policy. What can't be served becomes a condition; the last good state goes on."""
        key = _key(body)
        if deleted:
            self._gone(key)
            return
        self.bodies[key] = body
        try:
            policy = parse_policy(body)
        except InvalidPolicy as invalid:
            self.invalid.add(key)
            self._controller.reject_policy(key, invalid, body["metadata"].get("generation", 0))
            _log.warning("TokenPolicy %s is not accepted: %s", key, invalid, extra={"policy": key})
            return
        self.invalid.discard(key)
        never_served = "observedGeneration" not in (body.get("status") or {})
        self._deliver(self._controller.put_policy(policy, self._clock(), is_new=never_served))

    def _gone(self, key: str) -> None:
        self.bodies.pop(key, None)
        self.invalid.discard(key)
        self._deliver(self._controller.remove_policy(key, self._clock()))

    async def list(self) -> None:
        """Bring in everything that exists and take out what does not. Raises api.ApiError."""
        listing = await self._api.list(PATH)
        for body in listing.items:
            self.seen(body, deleted=False)
        self._listed = {_key(body): _version(body) for body in listing.items}
        for key in self.bodies.keys() - self._listed.keys():
            self._gone(key)

    async def resync(self) -> None:
        while True:
            await asyncio.sleep(RESYNC_SECONDS)
            told = dict(self._watched)
            try:
                await self.list()
            except api.ApiError as error:
                _log.warning("the policies could not be listed again: %s", error)
                continue
            await self.compare(told)

    async def compare(self, told: Mapping[str, int], grace_seconds: float = WATCH_GRACE_SECONDS) -> None:
        """Whether the watch tells within its grace of what a list showed and it had not `told` of before."""
        changed = {key for key, version in self._listed.items() if version > told.get(key, -1)}
        gone = told.keys() - self._listed.keys()
        if changed or gone:
            await asyncio.sleep(grace_seconds)
        missed = {key for key in changed if self._watched.get(key) == told.get(key)} | (gone & self._watched.keys())
        self.deaf = f"the watch on TokenPolicies missed changes of {', '.join(sorted(missed)[:3])}" if missed else None


def _key(body: Mapping[str, Any]) -> str:
    return f"{body['metadata']['namespace']}/{body['metadata']['name']}"


def _version(body: Mapping[str, Any]) -> int:
    """Versions of one resource are numbers that rise."""
    text = str(body["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdecimal() else 0
