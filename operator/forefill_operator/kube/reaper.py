"""Finds out which silent pods have ended, so that what they held is given to others. Silence alone frees nothing."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from forefill_operator.client import Client
from forefill_operator.controller import Controller, Deliveries
from forefill_operator.kube import api

LOOK_SECONDS = 5.0
MOST_AT_ONCE = 100

_log = logging.getLogger("forefill.reaper")


def has_ended(pod: api.Object | None, pod_uid: str) -> bool:
    """Gone, replaced by another of its name, or in a phase that it never leaves."""
    if pod is None or pod["metadata"]["uid"] != pod_uid:
        return True
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


class Reaper:
    def __init__(
        self, client: api.Api, controller: Controller, deliver: Callable[[Deliveries], None], clock: Callable[[], float]
    ) -> None:
        self._api = client
        self._controller = controller
        self._deliver = deliver
        self._clock = clock

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._look(list(self._controller.silent())[:MOST_AT_ONCE])

    async def _look(self, silent: Iterable[Client]) -> None:
        for client in silent:
            try:
                pod = await self._api.get(api.path("v1", "pods", client.namespace, client.pod))
            except api.NotFound:
                pod = None
            except api.ApiError as error:
                _log.warning("nobody can say whether silent pods have ended: %s", error)
                return
            if has_ended(pod, client.pod_uid):
                _log.info("pod %s has ended; what it held is free", client.name)
                self._deliver(self._controller.ended(client.pod_uid, self._clock()))
