"""The operator without a cluster: policies and tokens from files, a certificate made on first start."""

import argparse
import asyncio
import datetime
import logging
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from forefill_operator import identity, manifests, state_folder
from forefill_operator.controller import Controller
from forefill_operator.kube import tls
from forefill_operator.load.assembly import watch_of
from forefill_operator.load.sources import Sources, read_sources
from forefill_operator.metrics import Metrics
from forefill_operator.policy import TokenPolicy
from forefill_operator.runtime import Clock, Runtime
from forefill_operator.sharing import Sharing, controller_of, sharing_of
from forefill_operator.state_folder import Served
from forefill_operator.stream_server import StreamServer
from forefill_operator.tickets import Key
from forefill_operator.usage import Misused

RELOAD_SECONDS = 1.0
HOSTS = ("localhost", "127.0.0.1", "::1")

_log = logging.getLogger("forefill.operator")
# Name, time of change and size of each file.
Stamps = frozenset[tuple[str, int, int]]


async def run(options: argparse.Namespace) -> None:
    """Serve until a signal. Raises Misused."""
    if options.listen is None:
        raise Misused("--listen HOST:PORT is required with --policies")
    tokens = identity.StaticTokens(options.tokens or options.state / "tokens.csv")
    folder = Folder(options.policies)
    try:
        tokens.read()
        folder.read()
        context = _context(options)
        keys = state_folder.ensure_ticket_keys(options.state, time.time())
        sources = read_sources(options.load_sources)
    except OSError as error:
        raise Misused(f"{error.filename}: {error.strerror}") from None
    except (identity.BadTokenFile, manifests.InvalidManifest, ValueError) as error:
        raise Misused(str(error)) from None
    await _serve(options, tokens, folder, context, keys, sources, sharing_of(options))


async def _serve(
    options: argparse.Namespace,
    tokens: identity.StaticTokens,
    folder: "Folder",
    context: ssl.SSLContext,
    keys: Sequence[Key],
    sources: Sources,
    sharing: Sharing | None,
) -> None:
    controller, metrics, served = controller_of(sharing, options.record), Metrics(), Served(options.state / "served")
    runtime = Runtime(
        controller,
        tokens,
        metrics,
        context,
        stream=options.listen,
        health=options.health or ("127.0.0.1", 0),
        keys=lambda: keys,
        profiles_kept=options.state / ("profiles" if options.worker is None else f"profiles-{options.worker}"),
        shares_port=options.worker is not None,
    )
    runtime.chores = [
        lambda: folder.follow(controller, runtime.server, served, metrics, runtime.clock),
        watch_of(controller, sources, metrics.registry).run,
        *([sharing.chore(runtime.server.deliver, runtime.clock, metrics.registry)] if sharing else []),
    ]
    for policy in folder.policies.values():
        controller.put_policy(policy, runtime.clock(), is_new=served.is_new(policy))
    runtime.stop_on_signals()
    try:
        await runtime.run()
    except OSError as error:
        raise Misused(f"can't listen: {error}") from None


def _context(options: argparse.Namespace) -> ssl.SSLContext:
    if (options.tls_cert is None) != (options.tls_key is None):
        raise Misused("--tls-cert and --tls-key go together")
    certificate, key = options.tls_cert, options.tls_key
    if certificate is None:
        certificate, key = state_folder.ensure_certificate(options.state, HOSTS, datetime.datetime.now(datetime.UTC))
    context = tls.server_context()
    _load(context, certificate, key)
    return context


def _load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    for path in (certificate, key):
        # The ssl module's own errors name no file.
        path.open("rb").close()
    try:
        # An encrypted key is refused, where OpenSSL would ask the terminal.
        context.load_cert_chain(certificate, key, password=b"")
    except ssl.SSLError:
        raise Misused(f"{certificate} and {key}: hold no certificate with its key") from None


@dataclass
class Folder:
    """The policies of a folder. A fault while running keeps what was good, and is logged and counted."""

    path: Path
    policies: dict[str, TokenPolicy] = field(default_factory=dict)
    _seen: Stamps | str = ""

    def read(self) -> None:
        """Raises OSError and manifests.InvalidManifest."""
        self._seen = self._stamps()
        self.policies = manifests.read_folder(self.path, self.policies)

    async def follow(
        self, controller: Controller, server: StreamServer, served: Served, metrics: Metrics, clock: Clock
    ) -> None:
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            before = self.policies
            try:
                if await asyncio.to_thread(self._stamps) == self._seen:
                    continue
                self.read()
            except (OSError, manifests.InvalidManifest) as fault:
                metrics.policies_invalid(1)
                _log.error("the policies stay as they were: %s", fault)
                continue
            metrics.policies_invalid(0)
            for key in before.keys() - self.policies.keys():
                server.deliver(controller.remove_policy(key, clock()))
            for policy in self.policies.values():
                server.deliver(controller.put_policy(policy, clock(), is_new=served.is_new(policy)))

    def _stamps(self) -> Stamps | str:
        """How the files look; why they can't be seen, when they can't."""
        try:
            entries = [entry for entry in self.path.iterdir() if entry.suffix in (".yaml", ".yml")]
            stats = [(entry.name, entry.stat()) for entry in entries]
        except OSError as error:
            return str(error)
        return frozenset((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
