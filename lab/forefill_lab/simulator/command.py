"""`forefill simulate`: a demand on a virtual clock, under Forefill's own code or under another controller."""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NoReturn

import msgspec

from forefill_lab.simulator import demand, lies
from forefill_lab.simulator.demand import Demand, Unusable
from forefill_lab.simulator.simulate import CONTROLLERS, Simulation
from forefill_operator import manifests
from forefill_operator.manifests import InvalidManifest
from forefill_operator.policy import TokenPolicy


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Unusable(message)


def main(arguments: Sequence[str]) -> int:
    """Exit status 0; 1 when an invariant was broken; 2 with one sentence when the input can't be used."""
    try:
        options = _parser().parse_args(arguments)
        return _simulate(options)
    except OSError as error:
        print(f"forefill simulate: {error.filename}: {(error.strerror or str(error)).lower()}", file=sys.stderr)
    except (Unusable, InvalidManifest) as error:
        print(f"forefill simulate: {error}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="forefill simulate", description=__doc__)
    parser.add_argument("--policy", type=Path, required=True, metavar="P.yaml")
    parser.add_argument("--demand", type=Path, required=True, metavar="DEMAND.csv")
    parser.add_argument("--controller", default="forefill", metavar="NAME", help=", ".join(CONTROLLERS))
    parser.add_argument("--lie", action="append", default=[], metavar="CLIENT=xF")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--out", type=Path, metavar="TICKS.csv")
    parser.add_argument("--json", action="store_true")
    return parser


def _simulate(options: argparse.Namespace) -> int:
    if options.controller not in CONTROLLERS:
        raise Unusable(f"--controller is {options.controller!r}; choose one of {', '.join(CONTROLLERS)}")
    policy, wanted = _policy(options.policy), _demand(options.demand)
    told = lies.parse(options.lie, wanted.clients)
    with options.out.open("w", newline="") if options.out else nullcontext() as file:
        simulation = Simulation(policy, wanted, options.controller, lies=told, seed=options.seed, ticks=file)
        for _ in simulation.run():
            pass
    totals = simulation.recorder.totals(options.controller)
    print(json.dumps(msgspec.structs.asdict(totals)) if options.json else totals)
    return 0


def _policy(path: Path) -> TokenPolicy:
    policies = manifests.read_file(path, {})
    if len(policies) != 1:
        raise Unusable(f"{path}: holds {len(policies)} TokenPolicies; exactly one is simulated")
    return policies[0]


def _demand(path: Path) -> Demand:
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            return demand.read(lines)
    except UnicodeDecodeError:
        raise Unusable(f"{path} is not UTF-8 text") from None
    except Unusable as error:
        raise Unusable(f"{path}: {error}") from None
