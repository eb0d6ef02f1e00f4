"""`forefill injector`: the webhook that adds the sidecar to annotated pods, with everything it needs around it."""

import argparse
import asyncio
import json
import logging
import os
import signal
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web

from forefill_operator import logs
from forefill_operator.health import Health
from forefill_operator.kube import api, credentials
from forefill_operator.kube.injector_metrics import InjectorMetrics
from forefill_operator.kube.policy_cache import PolicyCache
from forefill_operator.kube.sidecar import Surface
from forefill_operator.kube.tls import MountedPair
from forefill_operator.kube.webhook import Webhook
from forefill_operator.profiling import Profiler
from forefill_operator.usage import Address, Misused, parse_address

CERTIFICATE_SECONDS = 2.0
NO_CERTIFICATE_SECONDS = 1.0
# Requests in flight are answered before the end; the API server waits for none longer than this.
GRACE_SECONDS = 5.0

_log = logging.getLogger("forefill.injector")


def main(arguments: Sequence[str]) -> int:
    """Exit status 0 after a stop, 2 for what the user can mend."""
    options = parser().parse_args(arguments)
    logs.configure(options.log_level, options.log_format)
    try:
        found = credentials.find(os.environ)
        uvloop.run(run(options, found))
    except (Misused, credentials.BadCredentials, OSError) as error:
        print(f"forefill injector: {error}", file=sys.stderr)
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser("forefill injector", description=__doc__)
    options.add_argument("--listen", type=_address, metavar="HOST:PORT", default=("127.0.0.1", 9443), help="webhook")
    options.add_argument(
        "--health", type=_address, metavar="HOST:PORT", default=("127.0.0.1", 8080), help="probes and metrics"
    )
    options.add_argument(
        "--certificates", type=Path, metavar="DIR", required=True, help="folder of tls.crt, tls.key and ca.crt"
    )
    options.add_argument("--operator", metavar="URL", required=True, help="where sidecars connect, wss://…")
    options.add_argument("--image", required=True, help="the sidecar's image")
    options.add_argument("--image-pull-policy", default="IfNotPresent", choices=("Always", "IfNotPresent", "Never"))
    options.add_argument("--resources", type=_mapping, metavar="JSON", default={}, help="the sidecar's resources")
    options.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    options.add_argument("--log-format", default="text", choices=logs.FORMATS, help="json: one object a line")
    return options


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _mapping(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object")
    return value


async def run(options: argparse.Namespace, found: credentials.Credentials) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError when an address can't be had."""
    async with api.Api(found) as server:
        await Injector(server, options).run()


class Injector:
    def __init__(self, server: api.Api, options: argparse.Namespace) -> None:
        self._options = options
        self._policies = PolicyCache(server)
        self._metrics = InjectorMetrics()
        self._pair = MountedPair(options.certificates)
        self._stopping = asyncio.Event()
        self._serving = False

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        Profiler().on_signal()
        health = Health(self._expose, lambda: None, self._missing)
        await health.start(*self._options.health)
        chores = [loop.create_task(self._policies.follow()), loop.create_task(self._serve())]
        stop = loop.create_task(self._stopping.wait())
        try:
            ended, _ = await asyncio.wait([stop, *chores], return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in (stop, *chores):
                task.cancel()
            await asyncio.gather(stop, *chores, return_exceptions=True)
            await health.close()

    def stop(self) -> None:
        """`run` answers what is in flight and returns."""
        self._stopping.set()

    async def _serve(self) -> None:
        """Listen once there is a certificate, and follow it from then on."""
        await self._certificate()
        application = Webhook(self._policies, self._surface, self._metrics).application()
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=GRACE_SECONDS)
        await runner.setup()
        try:
            host, port = self._options.listen
            await web.TCPSite(runner, host, port, ssl_context=self._pair.context).start()
            _log.info("webhook on %s:%d", *runner.addresses[0][:2])
            self._serving = True
            while True:
                await asyncio.sleep(CERTIFICATE_SECONDS)
                self._refreshed()
        finally:
            self._serving = False
            await runner.cleanup()

    async def _certificate(self) -> None:
        """Wait for the operator to make one, and for the kubelet to bring it."""
        while True:
            if self._refreshed():
                return
            await asyncio.sleep(NO_CERTIFICATE_SECONDS)

    def _refreshed(self) -> bool:
        """Whether there is a certificate to serve with; a new one that can't be used leaves the old one in use."""
        try:
            if self._pair.refresh():
                _log.info("serving with the certificate in %s", self._options.certificates)
        except (OSError, ssl.SSLError) as error:
            _log.warning("the certificate in %s can't be used: %s", self._options.certificates, error)
        return bool(self._pair.ca_bundle)

    def _surface(self) -> Surface:
        options = self._options
        return Surface(
            image=options.image,
            operator=options.operator,
            ca_bundle=self._pair.ca_bundle,
            image_pull_policy=options.image_pull_policy,
            resources=options.resources,
        )

    def _missing(self) -> str | None:
        if not self._serving:
            return "the webhook does not listen yet"
        return None if self._policies.listed else "the TokenPolicies are not listed yet"

    def _expose(self) -> bytes:
        self._metrics.policies(len(self._policies))
        return self._metrics.text()
