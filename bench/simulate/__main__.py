"""Controllers beside each other on the simulator's virtual clock.

    python -m bench.simulate [--write docs/simulator.md] gap|doorman|steps|lies|declared|stability|picture ...

`gap` needs the traces that FOREFILL_DATA names.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.simulate import declared, doorman, gap, lies, picture, stability, steps

from forefill_lab.simulator.demand import Unusable

CONTROLLERS = f"static,max-min,ewma,{gap.WITHOUT_RECALL},forefill,central"


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    try:
        lines = [line for line in options.act(options) if not print(line, flush=True)]
    except Unusable as error:
        print(f"bench.simulate: {error}", file=sys.stderr)
        return 2
    if options.write:
        put(options.bench, lines, options.write)
    return 0


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="python -m bench.simulate", description=__doc__.split("\n")[0])
    result.add_argument("--write", type=Path, metavar="FILE.md", help="put the table between the marks of its name")
    benches = result.add_subparsers(required=True, dest="bench")
    gaps = benches.add_parser("gap", help="late tokens and waits on the ServeGen clients")
    gaps.add_argument("--loads", type=_numbers, default=[0.85, 0.70], metavar="L,L")
    gaps.add_argument("--scales", type=_numbers, default=[1.0, 0.1], metavar="S,S", help="factors on all rates")
    gaps.add_argument("--seeds", type=int, default=10, metavar="N")
    gaps.add_argument("--processes", type=int, default=1, metavar="N", help="seeds that run beside each other")
    gaps.add_argument("--hours", type=float, default=1.0, metavar="H")
    gaps.add_argument("--controllers", type=_names, default=_names(CONTROLLERS), metavar="NAME,NAME")
    gaps.set_defaults(act=_gap)
    published = benches.add_parser("doorman", help="Doorman's published scenarios")
    published.add_argument("--controllers", type=_names, default=["forefill", "doorman"], metavar="NAME,NAME")
    published.set_defaults(act=lambda options: doorman.table(options.controllers))
    step = benches.add_parser("steps", help="seconds until the rate is there after a step")
    step.add_argument("--controllers", type=_names, default=["forefill", "ewma", "doorman"], metavar="NAME,NAME")
    step.set_defaults(act=lambda options: steps.table(options.controllers, [0.0, 2.5, 5.0, 7.5]))
    lie = benches.add_parser("lies", help="what lies gain and harm")
    lie.add_argument("--seeds", type=int, default=24, metavar="N")
    lie.add_argument("--processes", type=int, default=1, metavar="N", help="seeds that run beside each other")
    lie.set_defaults(act=lambda options: lies.table(options.seeds, options.processes, _say))
    declare = benches.add_parser("declared", help="work that is known beforehand")
    declare.add_argument("--seeds", type=int, default=10, metavar="N")
    declare.set_defaults(act=lambda options: declared.table(options.seeds, _say))
    benches.add_parser("stability", help="the loop with a resource that has a load").set_defaults(
        act=lambda options: stability.table()
    )
    picture_of = benches.add_parser("picture", help="draw a run")
    picture_of.add_argument("path", type=Path, metavar="OUT.svg|png")
    picture_of.set_defaults(act=lambda options: picture.draw(options.path))
    return result


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _names(text: str) -> list[str]:
    return text.split(",")


def _gap(options: argparse.Namespace) -> Iterator[str]:
    folder = os.environ.get("FOREFILL_DATA")
    if not folder or not Path(folder).is_dir():
        raise Unusable("set FOREFILL_DATA to the folder with the traces")
    for load in options.loads:
        for scale in options.scales:
            results = gap.measure(
                Path(folder), load, scale, options.seeds, options.hours, options.controllers, options.processes, _say
            )
            yield f"Load {load:g}, rates x {scale:g}, {options.seeds} seeds of {options.hours:g} h:"
            yield ""
            yield from gap.table(results)
            yield ""


def put(name: str, lines: Sequence[str], path: Path) -> None:
    """Replace what stands between the two marks of this name in a Markdown file."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = path.read_text().partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"bench.simulate: {path} does not hold {begin} and {end}")
    text = "\n".join(lines).rstrip()
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
