"""The command line of `forefill simulate`: words to values. Faults are one sentence that names the option."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from forefill_lab.simulator.conditions import Conditions, Restart
from forefill_lab.simulator.demand import Unusable
from forefill_lab.simulator.simulate import CONTROLLERS

DESCRIPTION = """\
Runs a demand on a virtual clock under Forefill's own code, or under another controller, and writes what every client
got in every tick. The most that may be handed out is the policy's fillRate.max, for every controller; so are the total
depth of buckets (max * burst.seconds), the report interval and the network's delay."""

EPILOG = """\
files:
  DEMAND   t,client,tokens             a constant step; a client is there from its first row to its last
  EXPECT   known_at,t,client,tokens    work that the client declares at known_at (POST /v1/expect)
  TICKS    t,client,offered,granted,served_on_time,served_late,dropped,waiting,forecast,trust,priority
           tokens of the tick, but granted and forecast in tokens/s; on time = served in the tick of arrival,
           dropped = waited longer than queue.maxWaitSeconds, or found no place in line

lies (repeatable): CLIENT=xF            every forecast times F
                   CLIENT=burn[:H:L:xF] in turn H honest windows and L with forecasts times F (200:10:x1.5)
                   CLIENT=meter:xF      a replaced sidecar: its own counts times F, too
                   CLIENT=cost:xF       a cost header of F times what requests take, where responses tell that too

totals (--json prints {CONTROLLER: {...}}):
  on_time_share, late_share  of the offered tokens; late is everything not on time, dropped and still waiting too
  mean_wait_seconds          of an offered token, until it was served or dropped; p50, p95 of the served, whole ticks
  capacity_used              served, of what the capacity came to
  over_grant                 most that all rates together exceeded the largest max of the last lease by, tokens/s
  jain                       Jain's index of served / offered over the clients
  false_throttle             share of tokens that were not on time though the tick had capacity left

exit status: 0; 1 when an invariant was broken, with the tick and the numbers; 2 for input that can't be used
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Unusable(message)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Raises Unusable. `compare` is the list of controllers to run, `conditions` what goes wrong but for stragglers."""
    options = _parser().parse_args(arguments)
    if options.policy is None:
        raise Unusable("--policy is required")
    if (options.demand is None) == (options.record is None):
        raise Unusable("either --demand or --record is required, and not both")
    options.compare = _controllers("--compare", options.compare) if options.compare else None
    _controllers("--controller", options.controller)
    if options.plot and options.plot.suffix not in (".png", ".svg"):
        raise Unusable(f"--plot is {str(options.plot)!r}; it must end in .png or .svg")
    if options.out is not None and options.demand is not None and options.out.resolve() == options.demand.resolve():
        raise Unusable("--out is the demand itself; name another file")
    return options


def conditions(options: argparse.Namespace, clients: Sequence[str]) -> Conditions:
    return Conditions(
        delay_seconds=options.delay,
        loss=options.loss,
        skew=options.skew,
        stragglers=dict(_straggler(text, clients) for text in options.straggle),
        restarts=tuple(options.restart_operator),
    )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="forefill simulate",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--policy", type=Path, metavar="P.yaml", help="a TokenPolicy")
    add("--demand", type=Path, metavar="DEMAND.csv", help="what clients ask for")
    add("--controller", default="forefill", metavar="NAME", help=", ".join(CONTROLLERS))
    add("--compare", metavar="NAME,NAME", help="run several beside each other; TICKS is --controller's")
    add("--out", type=Path, metavar="TICKS.csv", help="a row a tick and client")
    add("--json", action="store_true", help="print the totals as one document")
    add("--plot", type=Path, metavar="OUT.png|svg", help="draw demand, rates and waiting of --controller (matplotlib)")
    add("--expect", type=Path, metavar="EXPECT.csv", help="work that clients know of beforehand")
    add("--lie", action="append", default=[], metavar="CLIENT=LIE", help="a client that says what is not so; see below")
    add("--seed", type=_whole, default=0, metavar="N", help="of all that is random (0)")
    add("--delay", type=_number(0.0, 60.0), default=0.05, metavar="S", help="of a message, one way (0.05)")
    add("--loss", type=_number(0.0, 1.0), default=0.0, metavar="P", help="chance that a message breaks its stream")
    add(
        "--skew",
        type=_number(0.0, 0.009),
        default=0.0,
        metavar="P",
        help="how far clients' clocks run off, such as .001",
    )
    add("--straggle", action="append", default=[], metavar="CLIENT=S", help="its messages take S seconds longer")
    add(
        "--restart-operator",
        type=_restart,
        action="append",
        default=[],
        metavar="T[:AWAY]",
        help="end it at T, for AWAY s",
    )
    add("--record", type=Path, metavar="RECORD.csv", help="replay what an operator recorded, in place of --demand")
    return parser


def _controllers(option: str, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in CONTROLLERS:
            raise Unusable(f"{option} is {name!r}; choose one of {', '.join(CONTROLLERS)}")
    return names


class _number:
    """A finite number between two bounds, both allowed."""

    def __init__(self, least: float, most: float) -> None:
        self._least, self._most = least, most

    def __call__(self, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not self._least <= value <= self._most:
            raise argparse.ArgumentTypeError(f"is {text!r}; it must be from {self._least:g} to {self._most:g}")
        return value


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"is {text!r}; it must be a whole number from 0")
    return int(text)


def _restart(text: str) -> Restart:
    at, _, away = text.partition(":")
    try:
        restart = Restart(float(at), float(away or 1.0))
    except ValueError:
        restart = Restart(math.nan, math.nan)
    if not (0.0 <= restart.at < math.inf and 0.0 <= restart.away_seconds < math.inf):
        raise argparse.ArgumentTypeError(f"is {text!r}; it must be T or T:AWAY, seconds from 0")
    return restart


def _straggler(text: str, clients: Sequence[str]) -> tuple[int, float]:
    name, _, seconds = text.rpartition("=")
    if name not in clients:
        raise Unusable(f"--straggle {text}: the demand has no client {name!r}")
    try:
        return list(clients).index(name), _number(0.0, 60.0)(seconds)
    except argparse.ArgumentTypeError as error:
        raise Unusable(f"--straggle {text}: {error}") from None
