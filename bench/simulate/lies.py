"""What lies gain the liar and cost the others: the same arrivals with and without each lie, over many seeds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from bench.simulate import pairs, scenes
from bench.simulate.beside import side_by_side

from forefill_lab.simulator.demand import Demand, demand
from forefill_lab.simulator.expect import Declaration
from forefill_lab.simulator.lies import Lie
from forefill_lab.simulator.policies import constant
from forefill_lab.simulator.simulate import Simulation

CLIENTS, SECONDS, WARM_UP, LOAD = 20, 1200, 300, 0.85
LIAR = 10
COALITION = (10, 4, 15, 17)
# Who is alone in its namespace, beside namespaces of others, and how many pods it then makes of itself.
ALONE, REPLICAS = 18, 5
NAMESPACES = ("a", "b", "c", "d", "alone")
HEADER = {"header": "x-tokens", "response": {"jsonPointer": "/usage/total_tokens"}}


@dataclass(frozen=True)
class Case:
    """One way to run the arrivals of a seed. `declares` is the rate of declared work that never comes, and `dummies`
    that of traffic which nobody needs, as parts of the liar's mean. With `replicas` there are namespaces.
    """

    lies: Mapping[int, Lie] = field(default_factory=dict)
    declares: float = 0.0
    dummies: float = 0.0
    replicas: int = 0
    spec: Mapping[str, Any] = field(default_factory=dict)


CASES: Mapping[str, Case] = {
    "honest": Case(),
    "x0.5": Case({LIAR: Lie("forecast", 0.5)}),
    "x1.5": Case({LIAR: Lie("forecast", 1.5)}),
    "x3": Case({LIAR: Lie("forecast", 3.0)}),
    "burn": Case({LIAR: Lie("burn", 3.0, 30, 5)}),
    "coalition": Case({client: Lie("forecast", 1.5) for client in COALITION}),
    "declared": Case(declares=1.0),
    "meter": Case({LIAR: Lie("meter", 2.0)}),
    "large": Case(dummies=1.0),
    "header x1": Case({LIAR: Lie("cost", 1.0)}, spec={"cost": HEADER}),
    "header x0.5": Case({LIAR: Lie("cost", 0.5)}, spec={"cost": HEADER}),
    "header x2": Case({LIAR: Lie("cost", 2.0)}, spec={"cost": HEADER}),
    "one pod": Case(replicas=1),
    "replicas": Case(replicas=REPLICAS),
}


@dataclass(frozen=True)
class Entry:
    """A lie, and the case that it is compared with."""

    name: str
    lying: str
    honest: str = "honest"
    liars: Sequence[int] = (LIAR,)


ENTRIES = (
    Entry("forecast x0.5", "x0.5"),
    Entry("forecast x1.5", "x1.5"),
    Entry("forecast x3", "x3"),
    Entry("build and burn, 30 honest windows, 5 x3", "burn"),
    Entry("a fifth of the clients x1.5", "coalition", liars=COALITION),
    Entry("declared work that never comes", "declared"),
    Entry("cost header x0.5", "header x0.5", "header x1"),
    Entry("cost header x2", "header x2", "header x1"),
    Entry("half of it dummy traffic", "large", "large"),
    Entry(f"{REPLICAS} pods instead of one", "replicas", "one pod", (ALONE,)),
    Entry("replaced sidecar: its own counts x2", "meter"),
)


@dataclass(frozen=True)
class Outcome:
    """By client of the workload: tokens offered and on time, and the mean of what it was trusted."""

    offered: Sequence[float]
    on_time: Sequence[float]
    trust: Sequence[float]

    def late(self, clients: Sequence[int]) -> float:
        """In per cent of their tokens."""
        total = sum(self.offered[client] for client in clients)
        return 100.0 * (1 - sum(self.on_time[client] for client in clients) / total)


def workload(seed: int, dummies: float = 0.0) -> scenes.Tokens:
    """Clients of different sizes, Poisson around levels that change every ten seconds."""
    chance = np.random.default_rng(seed)
    rates = np.geomspace(0.5, 16.0, CLIENTS)
    level = chance.gamma(8.0, 1 / 8, (SECONDS // 10 + 1, CLIENTS)).repeat(10, axis=0)[:SECONDS]
    tokens = chance.poisson(level * rates).astype(float)
    tokens[:, LIAR] += chance.poisson(dummies * rates[LIAR], SECONDS)
    return tokens


def spread(tokens: scenes.Tokens, replicas: int, seed: int) -> tuple[Demand, list[int]]:
    """Clients in namespaces, one of them as so many pods; and whose each column is."""
    chance = np.random.default_rng(seed)
    parts = chance.multinomial(tokens[:, ALONE].astype(int), [1 / replicas] * replicas).astype(float)
    others = [client for client in range(CLIENTS) if client != ALONE]
    names = [f"{NAMESPACES[client % (len(NAMESPACES) - 1)]}/c{client}" for client in others]
    names += [f"{NAMESPACES[-1]}/{number}" for number in range(replicas)]
    columns = np.concatenate([tokens[:, others], parts], axis=1)
    return demand(columns, 1.0, names), others + [ALONE] * replicas


def outcome(name: str, seed: int) -> Outcome:
    case, tokens = CASES[name], workload(seed, CASES[name].dummies)
    capacity = float(tokens.sum()) / SECONDS / LOAD
    wanted, owners, spec = scenes.named(tokens), list(range(CLIENTS)), dict(case.spec)
    if case.replicas:
        wanted, owners = spread(tokens, case.replicas, seed)
        spec["clients"] = {"namespaces": list(NAMESPACES)}
    simulation = Simulation(
        constant(capacity, **spec),
        wanted,
        lies=case.lies,
        declarations=declarations(case, float(tokens[:, LIAR].mean())),
        seed=seed,
        warm_up=WARM_UP,
    )
    trust = [0.0] * len(owners)
    for tick in simulation.run():
        if tick >= WARM_UP and tick % 10 == 0:
            for column in range(len(owners)):
                trust[column] += 10.0 * simulation.running.outlook(column)[1] / (SECONDS - WARM_UP)
    recorder = simulation.recorder
    return Outcome(*(_by_owner(figures, owners) for figures in (recorder.offered, recorder.on_time, trust)))


def declarations(case: Case, mean: float) -> list[Declaration]:
    """Each a moment before the one before it is over, without end."""
    if not case.declares:
        return []
    return [
        Declaration(float(at), LIAR, at + 20.0, 20.0, case.declares * mean * 20.0) for at in range(WARM_UP, SECONDS, 20)
    ]


def _by_owner(figures: Sequence[float], owners: Sequence[int]) -> list[float]:
    return np.bincount(owners, figures, CLIENTS).tolist()


def table(seeds: int, processes: int, say: Callable[[str], None]) -> Iterator[str]:
    found = dict(outcomes(seeds, processes, say))
    yield f"{seeds} seeds of {SECONDS - WARM_UP} s:"
    yield ""
    yield "| lie | liars late: honest | lying | gain (at most) | others: honest | lied to | harm (at most) | trust |"
    yield "|---|---|---|---|---|---|---|---|"
    for entry in ENTRIES:
        others = [client for client in range(CLIENTS) if client not in entry.liars]
        before, after = ([found[name, seed] for seed in range(seeds)] for name in (entry.honest, entry.lying))
        cells = [*_cells(before, after, entry.liars, -1.0), *_cells(before, after, others, 1.0)]
        trust = pairs.mean([each.trust[entry.liars[0]] for each in after])
        yield f"| {entry.name} | {' | '.join(cells)} | {trust / (CASES[entry.lying].replicas or 1):.2f} |"


def outcomes(seeds: int, processes: int, say: Callable[[str], None]) -> Iterator[tuple[tuple[str, int], Outcome]]:
    """Every case with every seed."""
    names = list(dict.fromkeys(name for entry in ENTRIES for name in (entry.honest, entry.lying)))
    jobs = [(name, seed) for seed in range(seeds) for name in names]
    for job, result in zip(jobs, side_by_side(_outcome, jobs, processes), strict=True):
        say(f"lies: {job[0]}, seed {job[1]}: {result.late((LIAR,)):.2f} % late")
        yield job, result


def _outcome(job: tuple[str, int]) -> Outcome:
    return outcome(*job)


def _cells(before: Sequence[Outcome], after: Sequence[Outcome], clients: Sequence[int], sign: float) -> list[str]:
    """Late shares before and after, and how far they rose (`sign` 1) or fell (-1)."""
    was, is_ = ([each.late(clients) for each in outcomes] for outcomes in (before, after))
    differences = [sign * (a - b) for b, a in zip(was, is_, strict=True)]
    centre = pairs.mean(differences)
    bound = f"{centre:+.2f} ({centre + pairs.half_width(differences):+.2f}) points"
    return [f"{pairs.mean(was):.2f} %", f"{pairs.mean(is_):.2f} %", bound]
