"""Finds out which silent pods have ended, so that what they held is given to others. Silence alone frees nothing."""

import asyncio
import logging
from collections.abc import Callable, Sequence

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


class Round:
    """Whose turn it is when more pods are silent than one look may ask about: each once, then again from the start."""

    def __init__(self) -> None:
        self._asked: set[str] = set()

    def next(self, silent: Sequence[Client]) -> list[Client]:
        self._asked &= {client.pod_uid for client in silent}
        if len(self._asked) == len(silent):
            self._asked.clear()
        return [client for client in silent if client.pod_uid not in self._asked][:MOST_AT_ONCE]

    def answered(self, client: Client) -> None:
        self._asked.add(client.pod_uid)


class Reaper:
    def __init__(
        self, client: api.Api, controller: Controller, deliver: Callable[[Deliveries], None], clock: Callable[[], float]
    ) -> None:
        self._api = client
        self._controller = controller
        self._deliver = deliver
        self._clock = clock
        self._round = Round()

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Ask about some silent pods; those that have ended are no longer clients."""
        for client in self._round.next(self._controller.silent()):
            try:
                pod = await self._api.get(api.path("v1", "pods", client.namespace, client.pod))
            except api.NotFound:
                pod = None
            except api.ApiError as error:
                _log.warning("nobody can say whether silent pods have ended: %s", error)
                return
            self._round.answered(client)
            if has_ended(pod, client.pod_uid):
                _log.info("pod %s has ended; what it held is free", client.name, extra={"client": client.name})
                self._deliver(self._controller.ended(client.pod_uid, self._clock()))
