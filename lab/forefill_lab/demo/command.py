"""`forefill demo`: three clients of one upstream, first with equal static buckets, then with Forefill."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path

import uvloop

from forefill_lab.demo import phases, traces
from forefill_lab.demo.fleet import CAPACITY
from forefill_lab.demo.processes import DemoFailed
from forefill_lab.demo.results import ON_TIME_SECONDS, Result
from forefill_lab.demo.screen import Screen
from forefill_lab.interruption import INTERRUPTED, until_interrupted

SEED = 1
SHORTEST_SECONDS, LONGEST_SECONDS = 2.0, 600.0

DESCRIPTION = f"""\
One upstream that serves at most {CAPACITY:g} requests a second, three clients driven by real traces, a sidecar each:
first with a third of the capacity for each, then with Forefill. Both phases get the same requests at the same moments,
the same total depth of buckets and the same limits of the queue. Everything runs on this machine, on loopback.
"""

FIGURES = f"""\
figures of each phase (--json prints {{"static": {{...}}, "forefill": {{...}}}}):
  offered            requests that were due in the measured seconds, answered or not
  served             of these, answered by the upstream
  on_time_share      of these, served after waiting less than {ON_TIME_SECONDS:g} s: latency, counted from when the
                     request was due, beyond the upstream's service time
  wait_p95_seconds   95th percentile of that waiting; a refused request waited until it was refused
  rejected           answered 429, because their tokens did not come in time
  capacity_used      served, as a part of what the upstream can serve
  over_grant         most that the shares held by all clients ever exceeded the upstream's capacity by, tokens/s:
                     the largest forefill_policy_over_grant in the operator's /metrics; static shares add up to it

exit status: 0, 1 when the demo failed, 2 for an argument that can't be used, 130 when interrupted
"""


def main(arguments: Sequence[str]) -> int:
    """Run both phases and print the comparison."""
    options = _parser().parse_args(arguments)
    screen = Screen(to_error=options.json)
    try:
        results = uvloop.run(until_interrupted(_both(options.seconds, screen)))
        if options.json:
            print(json.dumps({key: asdict(result) for key, result in results.items()}))
        if options.picture:
            options.picture.write_text(screen.picture())
    except DemoFailed as failure:
        print(f"forefill demo: {failure}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"forefill demo: {error.filename or 'can not go on'}: {error.strerror or error}", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        print("forefill demo: interrupted; all its processes have ended", file=sys.stderr)
        return INTERRUPTED
    return 0


async def _both(seconds: float, screen: Screen) -> dict[str, Result]:
    arrivals = {
        trace.name: traces.arrivals(trace, traces.read(trace.name), -phases.WARM_UP_SECONDS, seconds, SEED)
        for trace in traces.CLIENTS
    }
    results = {}
    for phase in phases.PHASES:
        with screen.phase(phase.title, seconds) as show:
            results[phase.key] = await phases.run(phase, arrivals, seconds, show)
    screen.compare(results)
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="forefill demo",
        description=DESCRIPTION,
        epilog=FIGURES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=_seconds, default=20.0, metavar="N", help="measured of each phase (20)")
    parser.add_argument("--json", action="store_true", help="print the figures as one document, the rest to stderr")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write what the terminal shows at the end, as SVG")
    return parser


def _seconds(text: str) -> float:
    allowed = f"a number from {SHORTEST_SECONDS:g} to {LONGEST_SECONDS:g}"
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"is {text!r}, but must be {allowed}") from None
    if not isfinite(seconds) or not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise argparse.ArgumentTypeError(f"is {text}, but must be {allowed}")
    return seconds
