"""What `/metrics` says, in Prometheus' text format or OpenMetrics 1.0. One label, `policy`, beside fixed classes."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import isinf

from forefill_sidecar.histogram import Distribution
from forefill_sidecar.journal import Journal
from forefill_sidecar.loop_lag import LoopLag
from forefill_sidecar.proxy.listener import Listener

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PREFIX = "forefill_sidecar_"

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric; `samples` are (suffix, labels, value). Names of counters have no `_total` here."""

    name: str
    kind: str
    help: str
    samples: Sequence[tuple[str, Labels, float]]


def render(families: Iterable[Family], is_open_metrics: bool) -> bytes:
    lines: list[str] = []
    for family in families:
        # Only OpenMetrics declares a counter without its suffix.
        declared = family.name + ("_total" if family.kind == "counter" and not is_open_metrics else "")
        lines += [f"# HELP {declared} {family.help}", f"# TYPE {declared} {family.kind}"]
        lines += [
            f"{family.name}{suffix}{_labels(labels)} {_number(value)}" for suffix, labels, value in family.samples
        ]
    if is_open_metrics:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode()


def collect(listeners: Sequence[Listener], lag: LoopLag) -> list[Family]:
    """All families of a sidecar."""
    now = time.monotonic()
    gauges = [_per_policy(listeners, "gauge", name, help_, read) for name, help_, read in _gauges(now)]
    counters = [_per_policy(listeners, "counter", name, help_, read) for name, help_, read in _COUNTERS]
    return [
        *counters,
        *gauges,
        _by_status(listeners),
        _by_class(listeners),
        _histograms(
            "wait_seconds", "Time that admitted requests waited in the queue.", listeners, lambda each: each.gate.waits
        ),
        _histograms(
            "upstream_seconds",
            "Time from a request's head to its response's.",
            listeners,
            lambda each: each.tally.upstream_seconds,
        ),
        Family(
            PREFIX + "event_loop_lag_seconds",
            "histogram",
            "How late the event loop runs what is due.",
            _distribution(lag.seconds, ()),
        ),
        *_process(),
    ]


_Read = Callable[[Listener], float]

_COUNTERS: Sequence[tuple[str, str, _Read]] = (
    (
        "offered_tokens",
        "Tokens of requests that arrived, other tries left out.",
        lambda each: each.meter.totals.offered,
    ),
    ("admitted_tokens", "Tokens reserved for admitted requests.", lambda each: each.meter.totals.admitted),
    ("refused_tokens", "Tokens of refused requests.", lambda each: each.meter.totals.refused),
    ("settled_up_tokens", "Tokens taken beyond the reserve.", lambda each: each.meter.totals.settled_up),
    ("settled_down_tokens", "Tokens of the reserve not used.", lambda each: each.meter.totals.settled_down),
    ("returned_tokens", "Tokens of requests that never reached the upstream.", lambda each: each.meter.totals.returned),
    (
        "unenforced_tokens",
        "Tokens that passed only because nothing is enforced.",
        lambda each: each.gate.unenforced_tokens,
    ),
    (
        "would_wait_tokens",
        "Tokens that enforcement would have delayed, in mode Observe.",
        lambda each: each.gate.shadow.would_wait,
    ),
    (
        "would_refuse_tokens",
        "Tokens that enforcement would have refused, in mode Observe.",
        lambda each: each.gate.shadow.would_refuse,
    ),
    ("requests", "Requests that arrived.", lambda each: each.meter.totals.requests),
    ("admitted_requests", "Requests let through.", lambda each: each.meter.totals.admitted_requests),
    ("refused_requests", "Requests turned away for want of tokens.", lambda each: each.meter.totals.refused_requests),
    ("retried_requests", "Requests marked as another try.", lambda each: each.meter.totals.retried_requests),
    (
        "upstream_errors",
        "Requests without an answer, or with one of 500 and above.",
        lambda each: each.meter.totals.errors,
    ),
    ("upstream_failures", "Requests that got no answer from the upstream.", lambda each: each.tally.upstream_failures),
    (
        "upstream_retries",
        "Requests sent again after a kept connection had closed.",
        lambda each: each.tally.upstream_retries,
    ),
    (
        "client_aborts",
        "Requests whose client left before the answer was complete.",
        lambda each: each.tally.client_aborts,
    ),
    ("client_connections", "Connections accepted.", lambda each: each.tally.clients_total),
    ("upstream_connections", "Connections made to the upstream.", lambda each: each.tally.upstream_total),
)


def _gauges(now: float) -> Sequence[tuple[str, str, _Read]]:
    return (
        ("fill_rate", "Tokens a second that the bucket gains.", lambda each: each.gate.bucket.fill_rate),
        ("burst_tokens", "Tokens that the bucket holds at most.", lambda each: each.gate.bucket.burst),
        ("tokens", "Tokens in the bucket; below zero is debt.", lambda each: each.gate.bucket.tokens_at(now)),
        ("waiting_requests", "Requests in the queue.", lambda each: each.gate.waiting),
        ("waiting_tokens", "Tokens of the requests in the queue.", lambda each: each.meter.backlog),
        ("enforcing", "1 while requests can be held or refused.", lambda each: float(each.gate.is_enforcing)),
        ("client_connections_open", "Open connections of clients.", lambda each: each.tally.clients_open),
        ("upstream_connections_open", "Open connections to the upstream.", lambda each: each.tally.upstream_open),
    )


def dropped(journal: Journal) -> Family:
    """What could not be written down."""
    samples = [("_total", (("to", outlet.name),), float(outlet.dropped)) for outlet in journal.outlets]
    return Family(PREFIX + "dropped_entries", "counter", "Requests that could not be written down.", samples)


def _per_policy(listeners: Sequence[Listener], kind: str, name: str, help_: str, read: _Read) -> Family:
    suffix = "_total" if kind == "counter" else ""
    return Family(PREFIX + name, kind, help_, [(suffix, _policy(each), read(each)) for each in listeners])


def _by_status(listeners: Sequence[Listener]) -> Family:
    samples = [
        ("_total", (*_policy(each), ("status", str(status))), float(count))
        for each in listeners
        for status, count in sorted(each.tally.answers.items())
    ]
    return Family(PREFIX + "answers", "counter", "Responses of the sidecar's own.", samples)


def _by_class(listeners: Sequence[Listener]) -> Family:
    samples = [
        ("_total", (*_policy(each), ("class", f"{first}xx")), float(count))
        for each in listeners
        for first, count in sorted(each.tally.responses.items())
    ]
    return Family(PREFIX + "responses", "counter", "Responses of the upstream.", samples)


def _histograms(
    name: str, help_: str, listeners: Sequence[Listener], read: Callable[[Listener], Distribution]
) -> Family:
    samples = [sample for each in listeners for sample in _distribution(read(each), _policy(each))]
    return Family(PREFIX + name, "histogram", help_, samples)


def _distribution(distribution: Distribution, labels: Labels) -> list[tuple[str, Labels, float]]:
    bounds = [*(repr(bound) for bound in distribution.bounds), "+Inf"]
    counts = list(accumulate(distribution.counts))
    buckets = [("_bucket", (*labels, ("le", bound)), float(count)) for bound, count in zip(bounds, counts, strict=True)]
    return [*buckets, ("_sum", labels, distribution.total), ("_count", labels, float(counts[-1]))]


def _process() -> list[Family]:
    with open("/proc/self/statm", "rb") as statm:
        resident = int(statm.read().split()[1]) * _PAGE_BYTES
    return [
        Family("process_resident_memory_bytes", "gauge", "Memory in use.", [("", (), float(resident))]),
        Family("process_cpu_seconds", "counter", "CPU time used.", [("_total", (), time.process_time())]),
    ]


def _policy(listener: Listener) -> Labels:
    return (("policy", listener.policy),)


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    # Policy names and our own words need no escaping.
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}"


def _number(value: float) -> str:
    if isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
