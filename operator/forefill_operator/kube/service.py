"""The operator on a cluster: puts together what watches, what answers and what writes, and runs it."""

import argparse
import asyncio
import datetime
import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from forefill_operator.controller import Deliveries
from forefill_operator.kube import api, certificate_store, credentials, ticket_store
from forefill_operator.kube.certificate_store import Names
from forefill_operator.kube.events import Events
from forefill_operator.kube.handlers import PolicyWatch
from forefill_operator.kube.lease import Leadership, Lost
from forefill_operator.kube.missed import MissedPods
from forefill_operator.kube.policies import Policies
from forefill_operator.kube.reaper import Reaper
from forefill_operator.kube.serving import MountedAuthority, OwnAuthority, Serving
from forefill_operator.kube.statuses import Statuses
from forefill_operator.kube.token_review import TokenReviews
from forefill_operator.load.assembly import watch_of
from forefill_operator.load.sources import InvalidSources, Sources, read_sources
from forefill_operator.metrics import Metrics
from forefill_operator.profiling import Profiler
from forefill_operator.runtime import Chore, Runtime
from forefill_operator.sharing import Sharing, controller_of, sharing_of
from forefill_operator.tickets import Key
from forefill_operator.usage import Misused

CERTIFICATES_SECONDS = 60.0
RETRY_SECONDS = 2.0
# Nobody can say who trusts what before every sidecar has had the time to come back.
SETTLED_SECONDS = 120.0
REQUIRED = ("stream", "health", "namespace", "lease")
OWN_CERTIFICATES = ("service_name", "injector_service_name", "webhook_name", "ca_secret", "injector_secret")
MOUNTED_CERTIFICATES = ("ticket_secret",)

FAULTS = (api.ApiError, certificate_store.BrokenSecret, OSError, ValueError)

_log = logging.getLogger("forefill.operator")


async def run(options: argparse.Namespace) -> None:
    """Serve until a signal or until the Lease is lost. Raises Misused."""
    more = MOUNTED_CERTIFICATES if options.certificates else OWN_CERTIFICATES
    needed = [name for name in (*REQUIRED, *more) if name != "lease" or not options.store]
    missing = [name for name in needed if not getattr(options, name)]
    if missing:
        raise Misused(f"--kubernetes needs --{missing[0].replace('_', '-')}")
    try:
        found = credentials.find(os.environ)
    except credentials.BadCredentials as bad:
        raise Misused(str(bad)) from None
    try:
        sources = read_sources(options.load_sources)
    except InvalidSources as invalid:
        raise Misused(str(invalid)) from None
    async with api.Api(found) as client:
        sharing = sharing_of(options)
        leadership = None if sharing else await _lead(client, options)
        await Service(client, options, leadership, sharing, sources).run()


async def _lead(client: api.Api, options: argparse.Namespace) -> Leadership:
    leadership = Leadership(client, options.namespace, options.lease, socket.gethostname(), time.monotonic)
    await leadership.acquire()
    return leadership


class Service:
    """Everything with a lifetime, from the first list to the last goodbye.

    Without a store to share, whoever holds the Lease (`leadership`) answers; with one, every operator does.
    """

    def __init__(
        self,
        client: api.Api,
        options: argparse.Namespace,
        leadership: Leadership | None,
        sharing: Sharing | None,
        sources: Sources,
    ) -> None:
        self._client = client
        self._leadership = leadership
        self._ticket_secret = options.namespace, options.ticket_secret or options.ca_secret
        self._keys: tuple[Key, ...] = ()
        self._serving = _serving(client, options)
        self._listed_at: float | None = None
        controller = self._controller = controller_of(sharing, options.record)
        self._metrics = Metrics()
        self._policies = Policies(client, controller, self._deliver, time.monotonic)
        self._watch = PolicyWatch(self._seen_in_thread, client.credentials)
        events = Events(client, socket.gethostname(), time.monotonic)
        self._runtime = Runtime(
            controller,
            TokenReviews(client),
            self._metrics,
            self._serving.context,
            stream=options.stream,
            health=options.health,
            chores=[
                self._policies.resync,
                Statuses(client, controller, self._policies, events, time.monotonic).keep,
                MissedPods(client, events, self._metrics.missed_pods).watch,
                Reaper(client, controller, self._deliver, time.monotonic).watch,
                self._keep_certificates,
                watch_of(controller, sources, self._metrics.registry, client).run,
                *([sharing.chore(self._deliver, time.monotonic, self._metrics.registry)] if sharing else []),
            ],
            alive=self._alive,
            ready=self._ready,
            keys=lambda: self._keys,
            shares_port=options.worker is not None,
        )

    async def run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._runtime.stop_on_signals()
        Profiler().on_signal()
        holding = self._loop.create_task(self._hold_lease(self._leadership)) if self._leadership else None
        try:
            await self._serve()
        finally:
            await self._watch.close()
            if holding:
                holding.cancel()
                await asyncio.wait([holding])
            if self._leadership and self._leadership.held:
                await self._leadership.release()
        if holding and not holding.cancelled():
            holding.result()

    async def _serve(self) -> None:
        await self._until_done(self._refresh_certificates)
        await self._until_done(self._policies.list)
        if not self._runtime.stopping.is_set():
            self._listed_at = time.monotonic()
            self._watch.start()
            await self._runtime.run()

    async def _hold_lease(self, leadership: Leadership) -> None:
        """However it ends, this operator must not answer after it."""
        try:
            await leadership.keep()
        except Lost as lost:
            _log.error("this operator stops answering: %s", lost)
        finally:
            self._runtime.stopping.set()

    async def _until_done(self, step: Chore) -> None:
        while not self._runtime.stopping.is_set():
            try:
                await step()
                return
            except FAULTS as error:
                _log.warning("the operator can't start yet: %s", error)
            await asyncio.sleep(RETRY_SECONDS)

    def _deliver(self, deliveries: Deliveries) -> None:
        self._runtime.server.deliver(deliveries)

    def _seen_in_thread(self, body: Mapping[str, Any], deleted: bool) -> None:
        self._loop.call_soon_threadsafe(self._seen, body, deleted)

    def _seen(self, body: Mapping[str, Any], deleted: bool) -> None:
        self._policies.watched(body, deleted)
        self._metrics.policies_invalid(len(self._policies.invalid))

    async def _refresh_certificates(self) -> None:
        await self._serving.refresh(self._lagging(), datetime.datetime.now(datetime.UTC))
        self._runtime.server.trust(self._serving.ca_bundle)
        self._keys = await ticket_store.ensure(self._client, *self._ticket_secret, time.time())

    def _lagging(self) -> int | None:
        """Sidecars that have not named the CA bundle in force, those without a stream among them."""
        if self._listed_at is None or time.monotonic() - self._listed_at < SETTLED_SECONDS:
            return None
        return self._runtime.server.lagging() + len(self._controller.silent())

    async def _keep_certificates(self) -> None:
        while True:
            await asyncio.sleep(CERTIFICATES_SECONDS)
            try:
                await self._refresh_certificates()
            except FAULTS as error:
                _log.warning("the certificates could not be looked after: %s", error)

    def _alive(self) -> str | None:
        if self._listed_at is not None and not self._watch.alive:
            return f"the watch on TokenPolicies has ended: {self._watch.failure}"
        return self._policies.deaf

    def _ready(self) -> str | None:
        return None if self._listed_at is not None else "the policies have not been listed yet"


def _serving(client: api.Api, options: argparse.Namespace) -> Serving:
    if options.certificates:
        return MountedAuthority(options.certificates)
    names = Names(
        namespace=options.namespace,
        authority_secret=options.ca_secret,
        injector_secret=options.injector_secret,
        operator_service=options.service_name,
        injector_service=options.injector_service_name,
        webhook=options.webhook_name,
    )
    return OwnAuthority(client, names)
