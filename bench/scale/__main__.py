"""How far an operator goes: `python -m bench.scale [--quick] [--write]`, or `--plan` for plans alone. Loopback only.

An operator runs on one core, its sidecars on another. Reports of 100 to 30,000 clients come once in ten seconds over
TLS; where a process may not hold so many files open, those that it may hold report so much more often. Then one
operator without a store and one, two and three that share one, and a core, serve the same policies, and their CPU time
is counted apart.
"""

import argparse
import datetime
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.scale import law, pages, plans, regions, runs
from bench.scale.plans import Planned

from forefill_operator.acceptor import raise_open_files

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
PICTURE = PAGE.with_name("scaling.svg")
BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"
REGIONS_BEGIN, REGIONS_END = "<!-- regions -->", "<!-- end of regions -->"
SIZES, QUICK_SIZES = (100, 1000, 4000, 10_000, 20_000, 30_000), (100, 1000)
# Files of a run that are not streams.
RESERVED_FILES = 1100
PLANNED, QUICK_PLANNED = (1000, 10_000, 100_000), (1000, 10_000)
SHARED_CLIENTS, POLICIES_AN_OPERATOR = 2000, 12
MEASURED_SECONDS = 20


def main(arguments: Sequence[str]) -> int:
    """Exit status 0; 1 when a report went unanswered or more was granted than there is; 2 when a run failed."""
    options = _parser().parse_args(arguments)
    if options.regions:
        return _regions(options)
    planned = [plans.measure(clients) for clients in (QUICK_PLANNED if options.quick else PLANNED)]
    if options.plan:
        print("\n".join(pages.plans(planned)))
        return 0
    try:
        text, found = _measured(options, planned)
    except runs.RunFailed as failed:
        print(f"bench.scale: {failed}", file=sys.stderr)
        return 2
    print(text)
    if options.write:
        _put(text, BEGIN, END)
    return 0 if all(run.is_whole and run.over_grant == 0.0 for run in found) else 1


def _regions(options: argparse.Namespace) -> int:
    data = os.environ.get("FOREFILL_DATA")
    if not data or not Path(data).is_dir():
        print("bench.scale: --regions needs FOREFILL_DATA, the folder with the traces", file=sys.stderr)
        return 2
    text = "\n".join(regions.table(regions.measure(Path(data))))
    print(text)
    if options.write:
        _put(text, REGIONS_BEGIN, REGIONS_END)
    return 0


def _put(text: str, begin: str, end: str) -> None:
    page = PAGE.read_text()
    before, after = page.partition(begin)[0], page.partition(end)[2]
    PAGE.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def _largest() -> int:
    """How many streams this machine lets one process have."""
    return max(raise_open_files() - RESERVED_FILES, 100)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench.scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small runs only: three minutes instead of ten")
    parser.add_argument("--plan", action="store_true", help="only how long plans take")
    parser.add_argument(
        "--regions", action="store_true", help="only what dividing a max among regions costs (simulated)"
    )
    parser.add_argument("--clients", type=_sizes, metavar="N,N,…", help="other numbers of clients")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name} and {PICTURE.name}")
    return parser


def _sizes(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if not all(each.isascii() and each.isdigit() and 0 < int(each) <= 200_000 for each in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers from 1 to 200,000")
    return tuple(int(each) for each in numbers)


def _measured(options: argparse.Namespace, planned: Sequence[Planned]) -> tuple[str, list[runs.Reports]]:
    alone = []
    most = _largest()
    for clients in sorted(options.clients or (QUICK_SIZES if options.quick else SIZES)):
        _tell(f"as many reports as {clients:,} clients send in ten seconds")
        interval = max(pages.INTERVAL_SECONDS * most // clients, 1) if most < clients else pages.INTERVAL_SECONDS
        count = min(clients * interval // pages.INTERVAL_SECONDS, most)
        alone.append(runs.reports(count, MEASURED_SECONDS, interval=interval))
        _tell(str(alone[-1]))
    _tell("one operator without a store")
    shared = [runs.reports(SHARED_CLIENTS, MEASURED_SECONDS, policies=POLICIES_AN_OPERATOR)]
    _tell(str(shared[0]))
    for operators in range(1, 3 if options.quick else 4):
        _tell(f"{operators} operators with a store")
        with runs.server() as url:
            policies = POLICIES_AN_OPERATOR * operators
            found = runs.reports(
                SHARED_CLIENTS * operators, MEASURED_SECONDS, operators=operators, policies=policies, store=url
            )
        shared.append(found)
        _tell(str(found))
    _tell("streams")
    streams = runs.streams(500 if options.quick else 2000)
    fitted = law.fit([run.at_ten for run in alone], [pages.core_part(run) for run in alone])
    if options.write:
        pages.draw(alone, fitted, planned, PICTURE)
    lines = [
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {os.cpu_count()} cores of {_processor()}, "
        f"load {os.getloadavg()[1]:.1f}, Python {platform.python_version()}.",
        "", *pages.sizes(alone, fitted), "", *pages.plans(planned), "", *pages.streams(streams), "",
        *pages.replicas(shared),
    ]  # fmt: skip
    return "\n".join(lines), [*alone, *shared]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _tell(what: str) -> None:
    print(f"bench.scale: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
