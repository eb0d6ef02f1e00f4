"""Arguments of `forefill sidecar`, read with a sentence for each that can't be used."""

import argparse
import socket
from math import isfinite

from forefill_protocol.fields import Mode
from forefill_protocol.podsettings import PolicyListener
from forefill_protocol.policysettings import CostSettings, ForecastSettings, PolicySettings, QueueSettings
from forefill_sidecar.proxy import address


class BadArgument(Exception):
    """One sentence that names the argument, its value and what is allowed."""


def required(options: argparse.Namespace, name: str) -> None:
    if getattr(options, name) is None:
        raise BadArgument(f"--{name.replace('_', '-')} is missing")


def admin(options: argparse.Namespace) -> list[tuple[str, int]]:
    return [endpoint("--admin", options.admin)] if options.admin else []


def listener(options: argparse.Namespace, policy: str, mode: Mode, fill_rate: float, burst: float) -> PolicyListener:
    _, port = endpoint("--listen", options.listen)
    settings = PolicySettings(
        report_interval_seconds=10.0,
        lease_seconds=30.0,
        fallback="Safe",
        forecast=ForecastSettings(model="SimpleSmoothing", quantile=0.95, horizon_windows=3),
        queue=QueueSettings(max_wait_seconds=number("--queue-seconds", options.queue_seconds), max_requests=1000),
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


def endpoint(name: str, text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise BadArgument(f"{name} is {text!r}; it must be HOST:PORT with a port from 1 to 65535")
    return host.strip("[]"), int(port)


def number(name: str, text: str, above: float | None = None) -> float:
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
