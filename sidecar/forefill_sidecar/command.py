"""`forefill sidecar`: the data plane in one process."""

import argparse
import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Sequence
from math import isfinite
from pathlib import Path

import uvloop

from forefill_protocol import podsettings
from forefill_protocol.messages import STREAM_PATH, CostSettings, ForecastSettings, Mode, PolicySettings, QueueSettings
from forefill_protocol.podsettings import PolicyListener
from forefill_sidecar import joined
from forefill_sidecar.assembly import CantListen, Sidecar, build_listener
from forefill_sidecar.joined import JoinedSidecar
from forefill_sidecar.proxy import address
from forefill_sidecar.reporter import Operator

FIXED_POLICY = "local/fixed"


class BadArgument(Exception):
    """One sentence that names the argument, its value and what is allowed."""


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT. Exit status 2 for what can't be started as asked."""
    try:
        options = _parser().parse_args(arguments)
        uvloop.run(_serve(_chosen(options), options.grace_seconds))
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
    guided = parser.add_argument_group("guided by an operator")
    guided.add_argument("--operator", metavar="URL", help="https://HOST:PORT of the operator's stream")
    guided.add_argument("--policy", metavar="NAME", help="[NAMESPACE/]NAME of the TokenPolicy")
    guided.add_argument("--token-file", type=Path, metavar="F", help="holds this client's token")
    guided.add_argument(
        "--ca-file", type=Path, metavar="F", help="PEM of the authority that the operator is trusted by"
    )
    guided.add_argument("--state", type=Path, metavar="DIR", help="keep the last assignment here between runs")
    return parser


def _chosen(options: argparse.Namespace) -> Sidecar | JoinedSidecar:
    injected = os.environ.get(podsettings.VARIABLE)
    if injected and not options.listen:
        try:
            return joined.from_pod(podsettings.decode(injected))
        except ValueError as error:
            raise BadArgument(str(error)) from None
    for name in ("listen", "upstream"):
        _required(options, name)
    if options.operator:
        return _joined_sidecar(options)
    for name in ("fill_rate", "burst"):
        _required(options, name)
    burst = _number("--burst", options.burst, above=0.0)
    listener = _listener(options, FIXED_POLICY, "Enforce", _number("--fill-rate", options.fill_rate), burst)
    # A bucket that nobody retunes begins full, as limiters without an operator do.
    return Sidecar(
        [build_listener(listener, tokens=burst, host=_endpoint("--listen", options.listen)[0])], _admin(options)
    )


def _joined_sidecar(options: argparse.Namespace) -> JoinedSidecar:
    """Without --fill-rate nothing is enforced before the operator's first answer: there is no number to enforce."""
    for name in ("policy", "token_file", "ca_file"):
        _required(options, name)
    rate = _number("--fill-rate", options.fill_rate) if options.fill_rate else 0.0
    burst = _number("--burst", options.burst, above=0.0) if options.burst else max(1.0, 3.0 * rate)
    policy = options.policy if "/" in options.policy else f"default/{options.policy}"
    listener = _listener(options, policy, "Enforce" if options.fill_rate else "Observe", rate, burst)
    scheme, _, rest = options.operator.partition("://")
    if scheme not in ("https", "wss") or not rest:
        raise BadArgument(f"--operator is {options.operator!r}; it must be https://HOST:PORT")
    try:
        options.token_file.read_text()
        operator = Operator(f"wss://{rest.rstrip('/')}{STREAM_PATH}", options.ca_file.read_text(), options.token_file)
        operator.context()
        # The listener's own checks speak of what it was given.
        host = _endpoint("--listen", options.listen)[0]
        return JoinedSidecar([listener], operator, _admin(options), options.state, host)
    except OSError as error:
        raise BadArgument(f"{error.filename}: {(error.strerror or str(error)).lower()}") from None
    except ValueError as error:
        raise BadArgument(str(error)) from None


def _required(options: argparse.Namespace, name: str) -> None:
    if getattr(options, name) is None:
        raise BadArgument(f"--{name.replace('_', '-')} is missing")


def _admin(options: argparse.Namespace) -> list[tuple[str, int]]:
    return [_endpoint("--admin", options.admin)] if options.admin else []


def _listener(options: argparse.Namespace, policy: str, mode: Mode, fill_rate: float, burst: float) -> PolicyListener:
    _, port = _endpoint("--listen", options.listen)
    settings = PolicySettings(
        report_interval_seconds=10.0,
        lease_seconds=30.0,
        fallback="Safe",
        forecast=ForecastSettings(model="SimpleSmoothing", quantile=0.95, horizon_windows=3),
        queue=QueueSettings(max_wait_seconds=_number("--queue-seconds", options.queue_seconds), max_requests=1000),
        cost=CostSettings(default=1.0),
    )
    _resolve(options.upstream)
    return PolicyListener(
        policy=policy,
        policy_uid="",
        policy_generation=0,
        port=port,
        upstream=options.upstream,
        mode=mode,
        safe_rate=fill_rate,
        burst=burst,
        settings=settings,
    )


def _endpoint(name: str, text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise BadArgument(f"{name} is {text!r}; it must be HOST:PORT with a port from 1 to 65535")
    return host.strip("[]"), int(port)


def _number(name: str, text: str, above: float | None = None) -> float:
    allowed = "a number above 0" if above is not None else "a number from 0 on"
    try:
        value = float(text)
    except ValueError:
        raise BadArgument(f"{name} is {text!r}; it must be {allowed}") from None
    if not isfinite(value) or value > 1e9 or value < 0.0 or (above is not None and value <= above):
        raise BadArgument(f"{name} is {text}; it must be {allowed}, at most 1e9")
    return value


def _resolve(url: str) -> None:
    """A name that nobody knows is a mistake; an upstream that doesn't answer yet is not."""
    try:
        upstream = address.parse(url)
        socket.getaddrinfo(upstream.host, upstream.port, type=socket.SOCK_STREAM)
    except ValueError as error:
        raise BadArgument(f"--upstream: {error}") from None
    except OSError as error:
        raise BadArgument(f"--upstream is {url!r}; its host can't be resolved ({error.strerror})") from None


async def _serve(sidecar: Sidecar | JoinedSidecar, grace_seconds: float) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    # What start-up left behind lives for ever; the collector needn't look at it again.
    gc.collect()
    gc.freeze()
    await sidecar.run(ended, grace_seconds)
