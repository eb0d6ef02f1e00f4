"""How well the operator appraises its clients, on the series of FOREFILL_DATA.

    FOREFILL_DATA=DIR python -m bench.anomaly [--seeds N] [--only TABLE] [--write FILE.md]

Tables: detection, honesty, totals, cost. All of them take about five minutes.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.anomaly import cost, detectors, honesty, labelled, totals
from bench.anomaly.detectors import Detector, Found
from bench.anomaly.labelled import Labelled
from bench.forecast.__main__ import put

from forefill_operator import manifests

DETECTORS: dict[str, Detector] = {
    "Forefill, Low": detectors.novelty("Low"),
    "Forefill, Medium": detectors.novelty("Medium"),
    "Forefill, High": detectors.novelty("High"),
    "z-score > 5": detectors.z_score(5.0),
    "z-score > 8": detectors.z_score(8.0),
    "z-score > 12": detectors.z_score(12.0),
    "z-score > 20": detectors.z_score(20.0),
    "z-score > 30": detectors.z_score(30.0),
}
TOTAL_DAYS = (3, 8)
POLICY = Path(__file__).with_name("policy.yaml")


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    folder = os.environ.get("FOREFILL_DATA")
    if not folder or not Path(folder).is_dir():
        print("bench.anomaly: set FOREFILL_DATA to the folder with the traces", file=sys.stderr)
        return 2
    data = Path(folder)
    tables: dict[str, Callable[[], Iterator[str]]] = {
        "detection": lambda: detection(data),
        "honesty": lambda: trust(data, options.seeds),
        "totals": lambda: quantiles(data),
        "cost": spent,
    }
    lines: list[str] = []
    for name, table in tables.items():
        if options.only in (None, name):
            lines += [*table(), ""]
    text = "\n".join(lines[:-1]) + "\n"
    print(text, end="")
    if options.write:
        put(text, options.write)
    return 0


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="python -m bench.anomaly", description=__doc__.split("\n")[0])
    result.add_argument("--seeds", type=int, default=20, metavar="N", help="days and hours of each client")
    result.add_argument("--only", choices=("detection", "honesty", "totals", "cost"), metavar="TABLE")
    result.add_argument("--write", type=Path, metavar="FILE.md", help="put the tables between the two marks of a file")
    return result


def detection(data: Path) -> Iterator[str]:
    design, confirm = labelled.halves(data)
    yield (
        f"{len(design) + len(confirm) - 1} labelled series; false alarms a series and day, no point adjustment. "
        "Constants were chosen on the first half of the series; the second confirms."
    )
    yield ""
    yield "| detector | design: recall | false alarms | confirm: recall | false alarms | all: recall | false alarms |"
    yield "|---|---|---|---|---|---|---|"
    for name, detector in DETECTORS.items():
        parts = [detectors.evaluate(detector, half) for half in (design, confirm)]
        yield (
            f"| {name} | "
            + " | ".join(cell for each in (*parts, detectors.total(parts)) for cell in cells(each))
            + " |"
        )
    yield ""
    yield from by_series([*design, *confirm])


def cells(found: Found) -> tuple[str, str]:
    return f"{found.recall:.2f} ({found.hits}/{found.events})", f"{found.false_rate:.3f}"


def by_series(every: Sequence[Labelled]) -> Iterator[str]:
    yield "By series, Medium:"
    yield ""
    yield "| series | days | events | found | false alarms |"
    yield "|---|---|---|---|---|"
    for series in every:
        found = detectors.evaluate(DETECTORS["Forefill, Medium"], [series])
        yield f"| {series.name} | {found.days:.0f} | {found.events} | {found.hits} | {found.false_alarms} |"


def trust(data: Path, seeds: int) -> Iterator[str]:
    honest, caught = honesty.Honest(0, 0), {name: [0, 0] for name in honesty.LIES}
    for steps in honesty.courses(data, seeds):
        one = honesty.honest(steps)
        honest = honesty.Honest(honest.active + one.active, honest.doubted + one.doubted)
        for name, lie in honesty.LIES.items():
            verdict = honesty.caught(steps, lie)
            if verdict is not None:
                caught[name][0] += verdict
                caught[name][1] += 1
    yield f"Honest and lying forecasts: ServeGen clients, {seeds} seeds, and five other series; honest is Ensemble."
    yield ""
    yield "| client | figure | share | of |"
    yield "|---|---|---|---|"
    yield f"| honest | active windows with trust < .5 | {honest.doubted / honest.active:.4f} | {honest.active} |"
    for name, (hits, tries) in caught.items():
        yield f"| {name} | caught (trust < .2) within {honesty.CHANCES} active windows | {hits / tries:.3f} | {tries} |"
    hits, tries = (sum(each[i] for each in caught.values()) for i in range(2))
    yield f"| all lies | caught | {hits / tries:.3f} | {tries} |"


def quantiles(data: Path) -> Iterator[str]:
    yield "P95 of the total of all ServeGen clients; headroom over the sum of their means."
    yield ""
    yield (
        "| day | clients | coverage | headroom | summed P95: coverage | headroom | independent errors: headroom "
        "| headroom / summed |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for day in TOTAL_DAYS:
        each = totals.measure(data, day)
        yield (
            f"| {each.day} | {each.clients} | {each.coverage:.3f} | {each.headroom:.3f} | {each.summed_coverage:.4f} "
            f"| {each.summed_headroom:.3f} | {each.independent:.3f} | {each.headroom / each.summed_headroom:.2f} |"
        )


def spent() -> Iterator[str]:
    (policy,) = manifests.read_file(POLICY, {})
    microseconds, kept = cost.of_a_report(policy.spec)
    yield (
        f"A report costs {microseconds:.0f} us of one core, a client keeps {kept / 1e3:.1f} kB, "
        f"and {cost.SHADOWS:,} shadows take a window in {cost.of_all_shadows():.0f} ms."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
