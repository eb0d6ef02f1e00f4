"""Forecasters beside each other, on the series of FOREFILL_DATA.

    FOREFILL_DATA=DIR python -m bench.forecast [--peers] [--pictures DIR] [--longer] [--write FILE.md]
    FOREFILL_DATA=DIR python -m bench.forecast --inheritance | --audit | --costs [--write FILE.md]

--peers adds statsmodels, statsforecast and river (minutes), each refitted on the last 360 windows at the same places.
"""

import argparse
import os
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.forecast import audits, costs, inheritance, measure, peers, series
from bench.forecast.measure import Result, geometric_mean
from bench.forecast.series import Series

from forefill_sidecar.forecast import MODELS, plot
from forefill_sidecar.forecast.predictor import Predictor

PEER_SERIES = (
    "autothrottle_diurnal", "autothrottle_bursty", "azure_conv_requests", "azure_conv_tokens", "servegen_2",
    "servegen_8", "servegen_12", "servegen_16", "servegen_31", "servegen_39",
)  # fmt: skip
PICTURES = ("autothrottle_bursty", "azure_conv_tokens", "servegen_16", "servegen_30")
DIVERGES = 10.0
BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"
AUDITS = "<!-- measured audits -->", "<!-- end of measured audits -->"
COSTS = "<!-- measured costs -->", "<!-- end of measured costs -->"
INHERITANCE = "<!-- measured inheritance -->", "<!-- end of measured inheritance -->"


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    folder = os.environ.get("FOREFILL_DATA")
    if not folder or not Path(folder).is_dir():
        print("bench.forecast: set FOREFILL_DATA to the folder with the traces", file=sys.stderr)
        return 2
    chosen = series.longer_windows if options.longer else series.ten_seconds
    for wanted, table, marks in (
        (options.inheritance, inheritance.table, INHERITANCE),
        (options.audit, audits.table, AUDITS),
        (options.costs, lambda _: costs.table(), COSTS),
    ):
        if wanted:
            text = "\n".join(table(Path(folder))) + "\n"
            print(text, end="")
            if options.write:
                put(text, options.write, *marks)
            return 0
    every = [each for each in chosen(Path(folder)) if measure.worth_scoring(each)]
    lines = list(report(every, options.peers))
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if options.write:
        put(text, options.write)
    if options.pictures:
        draw(every, options.pictures)
    return 0


def put(text: str, path: Path, first: str = BEGIN, last: str = END) -> None:
    """Replace what stands between the two marks of a Markdown file."""
    before, _, rest = path.read_text().partition(first)
    _, end, after = rest.partition(last)
    if not end:
        raise SystemExit(f"bench.forecast: {path} does not hold {first} and {last}")
    path.write_text(f"{before}{first}\n{text}{last}{after}")


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="python -m bench.forecast", description=__doc__.split("\n")[0])
    result.add_argument("--peers", action="store_true", help="add statsmodels, statsforecast and river")
    result.add_argument("--longer", action="store_true", help="series with windows of a minute or five instead")
    result.add_argument("--inheritance", action="store_true", help="the first hour of new pods instead")
    result.add_argument("--audit", action="store_true", help="what the operator's audit finds instead")
    result.add_argument("--costs", action="store_true", help="what learning of workloads costs the operator instead")
    result.add_argument("--pictures", type=Path, metavar="DIR", help="draw a few series here")
    result.add_argument("--write", type=Path, metavar="FILE.md", help="put the tables between their marks")
    return result


def report(every: Sequence[Series], with_peers: bool) -> Iterator[str]:
    results = {model: [measure.result(model, each) for each in every] for model in MODELS}
    yield from models_table(every, results)
    yield ""
    yield from series_table(results["Ensemble"])
    yield ""
    yield f"Memory of one predictor (Ensemble, 5,000 windows): {memory_kilobytes():.0f} kB."
    if with_peers:
        yield ""
        yield from peers_table([each for each in every if each.name in PEER_SERIES])


def models_table(every: Sequence[Series], results: dict[str, list[Result]]) -> Iterator[str]:
    yield f"{len(every)} series. relMAE: against the last value, geometric mean. Skill: 1 - relative pinball loss."
    yield ""
    yield "| model | relMAE h1 | h3 | worst h1 | h3 | skill h1 | h3 | P95 coverage h1 | h3 | mean/actual | us |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for model, scored in results.items():
        yield model_row(model, scored)


def model_row(model: str, scored: Sequence[Result]) -> str:
    """Coverage is of the series with fewer than half of their windows empty, smallest and largest."""
    means, worst, skills, covers = [], [], [], []
    for horizon in measure.HORIZONS:
        at = [each.scores[horizon] for each in scored]
        full = [each.scores[horizon].coverage for each in scored if each.series.empty_share < 0.5]
        means.append(f"{geometric_mean(each.error_ratio for each in at):.3f}")
        worst.append(f"{max(each.error_ratio for each in at):.2f}")
        skills.append(f"{1.0 - geometric_mean(each.loss_ratio for each in at):.3f}")
        covers.append(f"{min(full):.3f}-{max(full):.3f}")
    bias = sum(each.scores[1].bias for each in scored) / len(scored)
    cost = sum(each.microseconds for each in scored) / len(scored)
    return f"| {model} | " + " | ".join([*means, *worst, *skills, *covers, f"{bias:.3f}", f"{cost:.0f}"]) + " |"


def series_table(scored: Sequence[Result]) -> Iterator[str]:
    yield "Ensemble by series (floor: a smoother that sees both neighbours)."
    yield ""
    yield "| series | windows | empty | floor | relMAE h1 | h3 | skill h1 | h3 | P95 coverage h1 | h3 |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for each in scored:
        near, far = (each.scores[horizon] for horizon in measure.HORIZONS)
        yield (
            f"| {each.series.name} | {len(each.series.values)} | {each.series.empty_share:.2f} "
            f"| {measure.floor(each.series):.2f} | {near.error_ratio:.3f} | {far.error_ratio:.3f} "
            f"| {1.0 - near.loss_ratio:.3f} | {1.0 - far.loss_ratio:.3f} | {near.coverage:.3f} | {far.coverage:.3f} |"
        )


def peers_table(every: Sequence[Series]) -> Iterator[str]:
    yield (
        f"Refitted on the last {peers.HISTORY} windows at {peers.ORIGINS} places of {len(every)} series; the ensemble "
        "on the same places, having run through from the start."
    )
    yield ""
    yield "| model | relMAE h1 | h3 | ms a forecast |"
    yield "|---|---|---|---|"
    places = {each.name: peers.origins(each) for each in every}
    base = {each.name: peers.ask(peers.last_value, each, places[each.name]) for each in every}
    yield ensemble_row(every, places, base)
    for name, make in peers.PEERS.items():
        fit = make()
        asked = {each.name: peers.ask(fit, each, places[each.name]) for each in every}
        ratios = [geometric_mean(asked[n].errors[h] / base[n].errors[h] for n in base) for h in measure.HORIZONS]
        cost = sum(each.milliseconds for each in asked.values()) / len(asked)
        shown = ["diverges" if each > DIVERGES else f"{each:.3f}" for each in ratios]
        yield f"| {name} | {shown[0]} | {shown[1]} | {cost:.2f} |"


def ensemble_row(every: Sequence[Series], places: dict[str, list[int]], base: dict[str, peers.Asked]) -> str:
    ratios: dict[int, list[float]] = {horizon: [] for horizon in measure.HORIZONS}
    costs = []
    for each in every:
        rows, microseconds = measure.predict("Ensemble", each)
        costs.append(microseconds / 1e3)
        for horizon, collected in ratios.items():
            at = {end + horizon for end in places[each.name]}
            errors = [abs(r.actual - r.forecast.mean) for r in rows if r.horizon == horizon and r.step in at]
            collected.append(sum(errors) / len(errors) / base[each.name].errors[horizon])
    near, far = (geometric_mean(ratios[horizon]) for horizon in measure.HORIZONS)
    return f"| Forefill Ensemble | {near:.3f} | {far:.3f} | {sum(costs) / len(costs):.2f} |"


def memory_kilobytes() -> float:
    tracemalloc.start()
    predictor = Predictor("Ensemble", 3)
    for step in range(5000):
        predictor.observe(float(step % 97))
        predictor.forecasts()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / 1e3


def draw(every: Sequence[Series], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for each in every:
        if each.name in PICTURES:
            rows, _ = measure.predict("Ensemble", each)
            plot.draw(rows, folder / f"{each.name}.svg", f"{each.name}, tokens in {each.interval_seconds:g} s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
