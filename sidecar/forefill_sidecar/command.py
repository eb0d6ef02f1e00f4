"""`forefill sidecar`: the data plane in one process."""

import argparse
import asyncio
import gc
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from forefill_protocol import podsettings
from forefill_sidecar import arguments, journal
from forefill_sidecar.arguments import BadArgument
from forefill_sidecar.assembly import CantListen, Sidecar, build_listener

if TYPE_CHECKING:
    from forefill_sidecar.joined import JoinedSidecar

FIXED_POLICY = "local/fixed"
OTLP_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"


def main(words: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT. Exit status 2 for what can't be started as asked."""
    try:
        options = _parser().parse_args(words)
        sidecar = _chosen(options)
        _write_down(sidecar if isinstance(sidecar, Sidecar) else sidecar.sidecar, options)
        uvloop.run(_serve(sidecar, options.grace_seconds))
    except (BadArgument, CantListen) as error:
        print(f"forefill sidecar: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="forefill sidecar",
        description="A shaping HTTP/1.1 reverse proxy: with a fixed bucket, or guided by an operator (--operator), or "
        f"as the injector set it up (environment variable {podsettings.VARIABLE}, no arguments).",
    )
    parser.add_argument("--listen", metavar="HOST:PORT", help="where the pod's requests come in")
    parser.add_argument("--upstream", metavar="URL", help="where they go: http:// or https://")
    parser.add_argument("--fill-rate", metavar="R", help="tokens a second; with --operator, until its first answer")
    parser.add_argument("--burst", metavar="B", help="tokens the bucket holds at most (with --operator: R x 3)")
    parser.add_argument("--queue-seconds", default="5", metavar="S", help="how long a request may wait (default: 5)")
    parser.add_argument("--admin", metavar="HOST:PORT", help="where metrics, health and /v1 are served")
    parser.add_argument("--grace-seconds", type=float, default=25.0, metavar="S", help="for requests at the end")
    parser.add_argument("--access-log", metavar="FILE", help="append a JSON line for every request; - is stdout")
    parser.add_argument(
        "--otlp-endpoint",
        metavar="URL",
        help=f"send a span for every traced request to this OTLP/HTTP collector (default: ${OTLP_VARIABLE})",
    )
    guided = parser.add_argument_group("guided by an operator")
    guided.add_argument("--operator", metavar="URL", help="https://HOST:PORT of the operator's stream")
    guided.add_argument("--policy", metavar="NAME", help="[NAMESPACE/]NAME of the TokenPolicy")
    guided.add_argument("--token-file", type=Path, metavar="F", help="holds this client's token")
    guided.add_argument(
        "--ca-file", type=Path, metavar="F", help="PEM of the authority that the operator is trusted by"
    )
    guided.add_argument("--state", type=Path, metavar="DIR", help="keep the last assignment here between runs")
    return parser


def _chosen(options: argparse.Namespace) -> "Sidecar | JoinedSidecar":
    """What an operator guides needs much that a fixed bucket does without, and is loaded only for it."""
    injected = os.environ.get(podsettings.VARIABLE)
    if injected and not options.listen:
        from forefill_sidecar import joined

        try:
            return joined.from_pod(podsettings.decode(injected))
        except ValueError as error:
            raise BadArgument(str(error)) from None
    for name in ("listen", "upstream"):
        arguments.required(options, name)
    if options.operator:
        from forefill_sidecar import guided

        return guided.sidecar(options)
    for name in ("fill_rate", "burst"):
        arguments.required(options, name)
    burst = arguments.number("--burst", options.burst, above=0.0)
    fill_rate = arguments.number("--fill-rate", options.fill_rate)
    listener = arguments.listener(options, FIXED_POLICY, "Enforce", fill_rate, burst)
    host = arguments.endpoint("--listen", options.listen)[0]
    # A bucket that nobody retunes begins full, as limiters without an operator do.
    return Sidecar([build_listener(listener, tokens=burst, host=host)], arguments.admin(options))


def _write_down(sidecar: Sidecar, options: argparse.Namespace) -> None:
    endpoint = options.otlp_endpoint or os.environ.get(OTLP_VARIABLE)
    try:
        opened = journal.opened(options.access_log, endpoint)
    except ValueError as error:
        raise BadArgument(str(error)) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BadArgument(f"--access-log is {options.access_log!r}; it can't be written: {reason}") from None
    if opened is not None:
        sidecar.write_into(opened)


async def _serve(sidecar: "Sidecar | JoinedSidecar", grace_seconds: float) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    # Every request needs two; runtimes start containers with a soft limit far below what they allow.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # What start-up left behind lives for ever; the collector needn't look at it again.
    gc.collect()
    gc.freeze()
    await sidecar.run(ended, grace_seconds)
