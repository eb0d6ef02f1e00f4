"""`forefill simulate`: a demand on a virtual clock, under Forefill's own code or under another controller."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

import msgspec
from rich.console import Console

from forefill_lab.simulator import demand, expect, lies, options, plot, replay, report
from forefill_lab.simulator.demand import Demand, Unusable
from forefill_lab.simulator.invariants import Broken
from forefill_lab.simulator.plot import Curves
from forefill_lab.simulator.simulate import Simulation
from forefill_lab.simulator.totals import Totals
from forefill_operator import manifests
from forefill_operator.manifests import InvalidManifest
from forefill_operator.policy import TokenPolicy

_T = TypeVar("_T")


def main(arguments: Sequence[str]) -> int:
    """Exit status 0; 1 when an invariant was broken; 2 with one sentence when the input can't be used."""
    try:
        return _simulate(options.parse(arguments))
    except Broken as broken:
        print(f"forefill simulate: {broken}", file=sys.stderr)
        return 1
    except OSError as error:
        sentence = f"{error.filename}: {(error.strerror or str(error)).lower()}"
    except (Unusable, InvalidManifest) as error:
        sentence = str(error)
    print(f"forefill simulate: {sentence}", file=sys.stderr)
    return 2


def _simulate(chosen: argparse.Namespace) -> int:
    policy = _policy(chosen.policy)
    wanted = _demand(chosen, policy)
    declarations = read(chosen.expect, lambda lines: expect.read(lines, wanted)) if chosen.expect else []
    conditions, told = options.conditions(chosen, wanted.clients), lies.parse(chosen.lie, wanted.clients)
    results = []
    for name in chosen.compare or [chosen.controller]:
        is_main = name == chosen.controller
        with chosen.out.open("w", newline="", encoding="utf-8") if chosen.out and is_main else nullcontext() as file:
            simulation = Simulation(
                policy,
                wanted,
                name,
                conditions,
                told,
                declarations,
                chosen.seed,
                0,
                file,
                bool(chosen.plot) and is_main,
            )
            _run(simulation, name, wanted.ticks)
        results.append(simulation.recorder.totals(name))
        if simulation.curves is not None:
            _draw(simulation, simulation.curves, chosen)
        if chosen.record and is_main and not chosen.json:
            print(replay.statement(policy.key, results[-1], simulation.recorder.lateness()))
    _show(results, chosen.json)
    return 0


def _demand(chosen: argparse.Namespace, policy: TokenPolicy) -> Demand:
    if chosen.record:
        return read(chosen.record, lambda lines: replay.read(lines, policy.key))
    return read(chosen.demand, demand.read)


def _draw(simulation: Simulation, curves: Curves, chosen: argparse.Namespace) -> None:
    title = f"{(chosen.record or chosen.demand).name} under {chosen.controller}"
    try:
        plot.draw(curves, simulation.recorder, simulation.scene, title, chosen.plot)
    except ModuleNotFoundError as missing:
        raise Unusable(f"--plot needs {missing.name}, which is not installed") from None


def _run(simulation: Simulation, name: str, ticks: int) -> None:
    with report.progress(name, ticks) as advance:
        for _ in simulation.run():
            advance()


def _show(results: Sequence[Totals], as_json: bool) -> None:
    if as_json:
        print(json.dumps({each.controller: msgspec.structs.asdict(each) for each in results}))
    else:
        Console().print(report.table(results))


def _policy(path: Path) -> TokenPolicy:
    policies = manifests.read_file(path, {})
    if len(policies) != 1:
        raise Unusable(f"{path}: holds {len(policies)} TokenPolicies; exactly one is simulated")
    return policies[0]


def read(path: Path, parse: Callable[[Iterable[str]], _T]) -> _T:
    """The value of a CSV file. Raises Unusable with the file's name."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            return parse(lines)
    except UnicodeDecodeError:
        raise Unusable(f"{path}: is not UTF-8 text") from None
    except Unusable as error:
        raise Unusable(f"{path}: {error}") from None
