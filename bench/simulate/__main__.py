"""Controllers beside each other on the simulator's virtual clock.

FOREFILL_DATA=DIR python -m bench.simulate gap [--loads .85,.7] [--scales 1,.1] [--seeds 10] [--hours 1]
"""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.simulate import doorman, gap, steps

CONTROLLERS = "static,max-min,ewma,forefill,central"


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    return int(options.act(options))


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="python -m bench.simulate", description=__doc__.split("\n")[0])
    acts = result.add_subparsers(required=True)
    gaps = acts.add_parser("gap", help="late tokens and waits on the ServeGen clients")
    gaps.add_argument("--loads", type=_numbers, default=[0.85, 0.70], metavar="L,L")
    gaps.add_argument("--scales", type=_numbers, default=[1.0, 0.1], metavar="S,S")
    gaps.add_argument("--seeds", type=int, default=10, metavar="N")
    gaps.add_argument("--hours", type=float, default=1.0, metavar="H")
    gaps.add_argument("--controllers", default=CONTROLLERS, metavar="NAME,NAME")
    gaps.set_defaults(act=_gap)
    for name, text, act in (
        ("doorman", "Doorman's published scenarios", _doorman),
        ("steps", "seconds until the rate is there after a step", _steps),
    ):
        one = acts.add_parser(name, help=text)
        one.add_argument("--controllers", default="forefill,ewma,doorman", metavar="NAME,NAME")
        one.set_defaults(act=act)
    return result


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _gap(options: argparse.Namespace) -> int:
    folder = os.environ.get("FOREFILL_DATA")
    if not folder or not Path(folder).is_dir():
        print("bench.simulate: set FOREFILL_DATA to the folder with the traces", file=sys.stderr)
        return 2
    for load in options.loads:
        for scale in options.scales:
            results = gap.measure(
                Path(folder), load, scale, options.seeds, options.hours, options.controllers.split(","), _say
            )
            print(f"\nLoad {load:g}, rates x {scale:g}, {options.seeds} seeds of {options.hours:g} h:\n")
            print("\n".join(gap.table(results)), flush=True)
    return 0


def _doorman(options: argparse.Namespace) -> int:
    return _print(doorman.table(options.controllers.split(",")))


def _steps(options: argparse.Namespace) -> int:
    return _print(steps.table(options.controllers.split(","), [0.0, 2.5, 5.0, 7.5]))


def _print(lines: Iterable[str]) -> int:
    for line in lines:
        print(line, flush=True)
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
