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
PATH = api.path(API_VERSION, PLURAL)

_log = logging.getLogger("forefill.policies")


class Policies:
    """`bodies` is the newest manifest of each policy, for whoever writes its status. Runs in the operator's loop."""

    def __init__(
        self, client: api.Api, controller: Controller, deliver: Callable[[Deliveries], None], clock: Callable[[], float]
    ) -> None:
        self._api = client
        self._controller = controller
        self._deliver = deliver
        self._clock = clock
        self.bodies: dict[str, Mapping[str, Any]] = {}
        self.invalid: set[str] = set()

    def seen(self, body: Mapping[str, Any], deleted: bool) -> None:
        """One state of one policy. What can't be served becomes a condition; the last good state goes on."""
        key = f"{body['metadata']['namespace']}/{body['metadata']['name']}"
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
        present = {f"{body['metadata']['namespace']}/{body['metadata']['name']}" for body in listing.items}
        for key in self.bodies.keys() - present:
            self._gone(key)

    async def resync(self) -> None:
        while True:
            await asyncio.sleep(RESYNC_SECONDS)
            try:
                await self.list()
            except api.ApiError as error:
                _log.warning("the policies could not be listed again: %s", error)
