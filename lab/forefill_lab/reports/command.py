"""`forefill bench reports`: many sidecars on real TLS streams against one operator that runs on one core."""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from forefill_lab.reports import demand, run, shared
from forefill_lab.reports.target import BenchFailed, Target, Usage, allow_files, summed

DESCRIPTION = """\
Starts an operator on one core, opens a TLS stream for each of N simulated sidecars from another, and lets each report
once an interval, as sidecars do, on real traces where FOREFILL_DATA names some. Latency counts from when a report was
due, not from when it could be sent.
"""
SHARED_SECONDS, BEAT_SECONDS = 60.0, 1.0
QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)


def main(arguments: Sequence[str]) -> int:
    """Exit status 0; 1 when reports went unanswered or streams were lost; 2 for what the user can mend."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.operators > 1 and not options.store:
        parser.error("--operators above 1 need --store URL")
    try:
        result = uvloop.run(_bench(options))
    except BenchFailed as failed:
        print(f"forefill bench reports: {failed}", file=sys.stderr)
        return 2
    print(json.dumps(result, indent=2) if options.json else _told(result))
    return 1 if result["unanswered"] or result["lost_streams"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("forefill bench reports", description=DESCRIPTION)
    parser.add_argument("--clients", type=_positive, default=1000, metavar="N", help="sidecars (default 1000)")
    parser.add_argument("--seconds", type=_positive, default=20, metavar="S", help="measured time (default 20)")
    parser.add_argument("--interval", type=_positive, default=10, metavar="S", help="report interval (default 10)")
    parser.add_argument("--policies", type=_positive, default=1, metavar="N", help="policies they share (default 1)")
    parser.add_argument("--operators", type=_positive, default=1, metavar="N", help="that share the core (default 1)")
    parser.add_argument("--store", metavar="URL", help="Valkey or Redis that they share; it should be this run's own")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


async def _bench(options: argparse.Namespace) -> dict[str, object]:
    allow_files(options.clients + 1000)
    mine, theirs = _cores()
    os.sched_setaffinity(0, mine)
    data = os.environ.get("FOREFILL_DATA")
    traces, source = demand.rates(Path(data) if data else None)
    population = demand.Population(traces, options.clients, options.seed)
    with tempfile.TemporaryDirectory() as folder, _progress(options.json) as progress:
        targets = [
            Target(Path(folder) / str(number), options.clients, options.policies, options.interval, theirs)
            for number in range(options.operators)
        ]
        try:
            await _start(targets, options)
            return await _measured(options, targets, population, progress) | {"traces": source}
        finally:
            for target in targets:
                await target.stop()


async def _start(targets: Sequence[Target], options: argparse.Namespace) -> None:
    """With a store: until the operators have divided the policies among them. Raises BenchFailed."""
    for number, target in enumerate(targets):
        await target.start(*([f"--store={options.store}", f"--name=operator-{number}"] if options.store else []))
    for _ in range(int(SHARED_SECONDS)):
        owned = [len(await asyncio.to_thread(target.figures, "forefill_policy_max")) for target in targets]
        if sum(owned) == options.policies and (min(owned) or options.policies < len(targets)):
            # Each of them hears with its next beat who serves the others.
            await asyncio.sleep(2.0 * BEAT_SECONDS if options.store else 0.0)
            return
        await asyncio.sleep(1.0)
    raise BenchFailed(f"the operators did not divide {options.policies} policies among them: they serve {owned}")


async def _measured(
    options: argparse.Namespace, targets: Sequence[Target], population: demand.Population, progress: Progress
) -> dict[str, object]:
    tally = run.Tally()
    empty = summed(target.usage() for target in targets)
    opening = progress.add_task("streams", total=options.clients)
    began = time.monotonic()
    peers = await run.connect(
        targets, options.clients, options.policies, tally, lambda count: progress.update(opening, completed=count)
    )
    opened_in, opened = time.monotonic() - began, summed(target.usage() for target in targets)
    marks: list[tuple[float, Usage, shared.Work]] = []

    def mark() -> None:
        work = shared.work(options.store) if options.store else shared.Work({}, 0.0)
        marks.append((time.monotonic(), summed(target.usage() for target in targets), work))

    total = options.interval + options.seconds
    reporting = progress.add_task("seconds", total=total)
    # The first interval answers newcomers, which is dearer than what follows.
    await run.drive(
        peers, population, options.interval, options.interval, options.seconds, tally, mark, mark,
        lambda seconds: progress.update(reporting, completed=min(seconds, total)),
    )  # fmt: skip
    over_grant = sum([sum(await asyncio.to_thread(t.figures, "forefill_policy_over_grant")) for t in targets])
    plans = [await asyncio.to_thread(_plan_seconds, target) for target in targets]
    for peer in peers:
        peer.wire.close()
    (start, before, work_before), (end, after, work_after) = marks
    cpu = after.cpu_seconds - before.cpu_seconds
    return {
        "clients": options.clients,
        "policies": options.policies,
        "interval_seconds": options.interval,
        "measured_seconds": round(end - start, 2),
        "reports": tally.sent,
        "answered": len(tally.latencies),
        "unanswered": tally.sent - len(tally.latencies),
        "lost_streams": tally.lost_streams,
        "refusals": tally.refusals,
        "pushes": tally.pushes,
        "over_grant": over_grant,
        "answer_milliseconds": _quantiles(tally.latencies),
        "sent_late_milliseconds": _quantiles(tally.lateness),
        "operator": {
            "processes": len(targets),
            "cores": 1,
            "cpu_share": round(cpu / (end - start), 4),
            "cpu_microseconds_per_report": round(1e6 * cpu / max(tally.sent, 1), 1),
            "clients_per_core": int(options.clients * (end - start) / cpu) if cpu > 0 else None,
            "tick_milliseconds": round(1e3 * max(plans), 3),
            "rss_megabytes": round(after.rss_bytes / 1e6, 1),
            "rss_kilobytes_per_client": round((after.rss_bytes - empty.rss_bytes) / 1e3 / options.clients, 1),
            "handshakes_per_second": round(options.clients / opened_in, 1),
            "cpu_milliseconds_per_handshake": round(
                1e3 * (opened.cpu_seconds - empty.cpu_seconds) / options.clients, 3
            ),
        },
        "store": shared.between(work_before, work_after, tally.sent) if options.store else None,
    }


def _plan_seconds(target: Target) -> float:
    """The mean turn of the operator's loop that plans."""
    (whole,), (count,) = (target.figures(f"forefill_operator_plan_seconds_{part}") for part in ("sum", "count"))
    return whole / max(count, 1.0)


def _quantiles(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    last = len(ordered) - 1
    if not ordered:
        return {}
    return {
        "max" if q == 1.0 else f"p{100 * q:g}": round(1e3 * ordered[min(int(q * len(ordered)), last)], 2)
        for q in QUANTILES
    }


def _cores() -> tuple[set[int], set[int]]:
    """This process's cores and the operator's: one apart, where there are two."""
    cores = sorted(os.sched_getaffinity(0))
    return (set(cores[1:]), {cores[0]}) if len(cores) > 1 else (set(cores), set(cores))


def _progress(quiet: bool) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet and not sys.stderr.isatty())


def _told(result: dict[str, object]) -> str:
    lines = []
    for name, value in result.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key.replace('_', ' ')} {figure}" for key, figure in value.items())
        lines.append(f"{name.replace('_', ' '):<24} {value}")
    return "\n".join(lines)
