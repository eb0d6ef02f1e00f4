"""The operator on a cluster: puts together what watches, what answers and what writes, and runs it."""

import argparse
import asyncio
import datetime
import logging
import os
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any

from forefill_operator.controller import Controller, Deliveries
from forefill_operator.kube import api, certificate_store, credentials, tls
from forefill_operator.kube.certificate_store import Issued, Names
from forefill_operator.kube.events import Events
from forefill_operator.kube.handlers import PolicyWatch
from forefill_operator.kube.lease import Leadership, Lost
from forefill_operator.kube.missed import MissedPods
from forefill_operator.kube.policies import Policies
from forefill_operator.kube.reaper import Reaper
from forefill_operator.kube.statuses import Statuses
from forefill_operator.kube.token_review import TokenReviews
from forefill_operator.metrics import Metrics
from forefill_operator.runtime import Chore, Runtime
from forefill_operator.usage import Misused

CERTIFICATES_SECONDS = 60.0
RETRY_SECONDS = 2.0
REQUIRED = (
    "stream", "health", "namespace", "service_name", "injector_service_name", "webhook_name", "ca_secret",
    "injector_secret", "lease",
)  # fmt: skip

_log = logging.getLogger("forefill.operator")


async def run(options: argparse.Namespace) -> None:
    """Serve until a signal or until the Lease is lost. Raises Misused."""
    missing = [name for name in REQUIRED if not getattr(options, name)]
    if missing:
        raise Misused(f"--kubernetes needs --{missing[0].replace('_', '-')}")
    try:
        found = credentials.find(os.environ)
    except credentials.BadCredentials as bad:
        raise Misused(str(bad)) from None
    async with api.Api(found) as client:
        leadership = Leadership(client, options.namespace, options.lease, socket.gethostname(), time.monotonic)
        await leadership.acquire()
        await Service(client, options, leadership).run()


class Service:
    """Everything with a lifetime, from the first list to the last goodbye."""

    def __init__(self, client: api.Api, options: argparse.Namespace, leadership: Leadership) -> None:
        self._client = client
        self._leadership = leadership
        self._names = Names(
            namespace=options.namespace,
            authority_secret=options.ca_secret,
            injector_secret=options.injector_secret,
            operator_service=options.service_name,
            injector_service=options.injector_service_name,
            webhook=options.webhook_name,
        )
        self._context = tls.server_context()
        self._issued: Issued | None = None
        self._listed = False
        controller = Controller()
        self._metrics = Metrics()
        self._policies = Policies(client, controller, self._deliver, time.monotonic)
        self._watch = PolicyWatch(self._seen_in_thread, client.credentials)
        events = Events(client, socket.gethostname(), time.monotonic)
        self._runtime = Runtime(
            controller,
            TokenReviews(client),
            self._metrics,
            self._context,
            stream=options.stream,
            health=options.health,
            chores=[
                self._policies.resync,
                Statuses(client, controller, self._policies, events, time.monotonic).keep,
                MissedPods(client, events, self._metrics.missed_pods).watch,
                Reaper(client, controller, self._deliver, time.monotonic).watch,
                self._keep_certificates,
            ],
            alive=self._alive,
            ready=self._ready,
        )

    async def run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._runtime.stop_on_signals()
        holding = self._loop.create_task(self._hold_lease())
        try:
            await self._serve()
        finally:
            await self._watch.close()
            holding.cancel()
            await asyncio.wait([holding])
            if self._leadership.held:
                await self._leadership.release()
        if not holding.cancelled():
            holding.result()

    async def _serve(self) -> None:
        await self._until_done(self._refresh_certificates)
        await self._until_done(self._policies.list)
        if not self._runtime.stopping.is_set():
            self._listed = True
            self._watch.start()
            await self._runtime.run()

    async def _hold_lease(self) -> None:
        """However it ends, this operator must not answer after it."""
        try:
            await self._leadership.keep()
        except Lost as lost:
            _log.error("this operator stops answering: %s", lost)
        finally:
            self._runtime.stopping.set()

    async def _until_done(self, step: Chore) -> None:
        while not self._runtime.stopping.is_set():
            try:
                await step()
                return
            except (api.ApiError, certificate_store.BrokenSecret, ssl.SSLError) as error:
                _log.warning("the operator can't start yet: %s", error)
            await asyncio.sleep(RETRY_SECONDS)

    def _deliver(self, deliveries: Deliveries) -> None:
        self._runtime.server.deliver(deliveries)

    def _seen_in_thread(self, body: Mapping[str, Any], deleted: bool) -> None:
        self._loop.call_soon_threadsafe(self._seen, body, deleted)

    def _seen(self, body: Mapping[str, Any], deleted: bool) -> None:
        self._policies.seen(body, deleted)
        self._metrics.policies_invalid(len(self._policies.invalid))

    async def _refresh_certificates(self) -> None:
        now = datetime.datetime.now(datetime.UTC)
        issued = await certificate_store.ensure(self._client, self._names, self._issued, now)
        if issued != self._issued:
            tls.load_pair(self._context, issued.serving.certificate, issued.serving.key)
            self._issued = issued

    async def _keep_certificates(self) -> None:
        while True:
            await asyncio.sleep(CERTIFICATES_SECONDS)
            try:
                await self._refresh_certificates()
            except (api.ApiError, certificate_store.BrokenSecret, ssl.SSLError) as error:
                _log.warning("the certificates could not be looked after: %s", error)

    def _alive(self) -> str | None:
        if self._listed and not self._watch.alive:
            return f"the watch on TokenPolicies has ended: {self._watch.failure}"
        return None

    def _ready(self) -> str | None:
        return None if self._listed else "the policies have not been listed yet"
