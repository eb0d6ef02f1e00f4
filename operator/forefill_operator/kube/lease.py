"""Only one operator answers at a time: the one that holds the Lease.

As client-go does it: a Lease is over when its renewTime has not changed for its duration by the watcher's own clock, so
that no two clocks are compared.
"""

import asyncio
import datetime
import logging
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from forefill_operator.kube import api

DURATION_SECONDS = 15.0
RENEW_SECONDS = 5.0
RETRY_SECONDS = 1.0
# A rival may take the Lease one duration after it saw the newest renewal; by then this operator has long stopped.
GIVE_UP_SECONDS = 10.0

_log = logging.getLogger("forefill.lease")


class Lost(Exception):
    """Somebody else answers now, or nobody can tell: this operator must stop."""


class Sight(Struct, frozen=True):
    """What was seen of a Lease, and since when it has looked like this (monotonic seconds)."""

    holder: str
    renew_time: str
    since: float


def may_take(seen: Sight, holder: str, now: float) -> bool:
    """Free, ours from an earlier life, or not renewed for a whole duration."""
    return not seen.holder or seen.holder == holder or now - seen.since >= DURATION_SECONDS


def look(lease: api.Object, before: Sight | None, now: float) -> Sight:
    spec = lease.get("spec") or {}
    holder, renew_time = spec.get("holderIdentity") or "", spec.get("renewTime") or ""
    unchanged = before is not None and (before.holder, before.renew_time) == (holder, renew_time)
    return before if unchanged and before is not None else Sight(holder, renew_time, now)


def renewed(lease: api.Object, holder: str, wall_time: str) -> api.Object:
    """The Lease with `holder` as its holder; a change of hands counts as a transition."""
    spec: dict[str, Any] = dict(lease.get("spec") or {})
    if spec.get("holderIdentity") != holder:
        spec["acquireTime"] = wall_time
        spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
    spec |= {"holderIdentity": holder, "leaseDurationSeconds": int(DURATION_SECONDS), "renewTime": wall_time}
    return {**lease, "spec": spec}


class Leadership:
    """`acquire` waits for the Lease, `keep` renews it until cancelled or lost, `release` frees it for the next one."""

    def __init__(
        self,
        client: api.Api,
        namespace: str,
        name: str,
        holder: str,
        clock: Callable[[], float],
        renew_seconds: float = RENEW_SECONDS,
    ) -> None:
        self._api = client
        self._folder = api.path("coordination.k8s.io/v1", "leases", namespace)
        self._path = f"{self._folder}/{name}"
        self._blank = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": namespace},
        }
        self._holder = holder
        self._clock = clock
        self._renew_seconds = renew_seconds
        self._lease: api.Object = {}
        self._renewed_at = 0.0
        self.held = False

    async def acquire(self) -> None:
        seen: Sight | None = None
        while True:
            try:
                self._lease = await self._read()
                seen = look(self._lease, seen, self._clock())
                if may_take(seen, self._holder, self._clock()):
                    await self._write(self._holder)
                    self.held = True
                    return
            except api.Conflict:
                seen = None
            except api.ApiError as error:
                _log.warning("the Lease can't be had yet: %s", error)
            await asyncio.sleep(RETRY_SECONDS)

    async def keep(self) -> None:
        """Raises Lost."""
        try:
            await self._renew()
        except Lost:
            self.held = False
            raise

    async def _renew(self) -> None:
        # At once: what came between acquiring and keeping may have taken the Lease's whole time.
        pause = 0.0
        while True:
            await asyncio.sleep(pause)
            try:
                # A call that hangs must not outlive the Lease.
                async with asyncio.timeout(self._renewed_at + GIVE_UP_SECONDS - self._clock()):
                    await self._renew_once()
                pause = self._renew_seconds
            except TimeoutError:
                raise Lost(f"the Lease could not be renewed for {GIVE_UP_SECONDS:.0f} s") from None
            except api.ApiError as error:
                _log.warning("the Lease was not renewed: %s", error)
                pause = RETRY_SECONDS

    async def _renew_once(self) -> None:
        try:
            await self._write(self._holder)
        except api.Conflict:
            # Also when the answer to an earlier renewal was lost, or somebody touched another field.
            self._lease = await self._read()
            if look(self._lease, None, 0.0).holder != self._holder:
                raise Lost("another operator took the Lease") from None
            await self._write(self._holder)

    async def release(self) -> None:
        try:
            await self._write("")
        except api.ApiError as error:
            _log.warning("the Lease was not released and ends by itself: %s", error)

    async def _read(self) -> api.Object:
        try:
            return await self._api.get(self._path)
        except api.NotFound:
            return await self._api.create(self._folder, self._blank)

    async def _write(self, holder: str) -> None:
        wall_time = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        sent_at = self._clock()
        self._lease = await self._api.replace(self._path, renewed(self._lease, holder, wall_time))
        # A rival's clock starts when it sees the renewal, which is never before it was sent.
        self._renewed_at = sent_at
