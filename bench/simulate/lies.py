"""What lies gain the liar and cost the others: the same arrivals with and without each lie, over many seeds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from bench.simulate import pairs, scenes
from bench.simulate.policies import policy

from forefill_lab.simulator.demand import Demand
from forefill_lab.simulator.expect import Declaration
from forefill_lab.simulator.lies import Lie
from forefill_lab.simulator.simulate import Simulation

CLIENTS, SECONDS, WARM_UP, LOAD = 20, 900, 300, 0.85
LIAR = 10
COALITION = (10, 4, 15, 17)


@dataclass(frozen=True)
class Entry:
    """Who lies, and how; `declares` is the rate of declared work that never comes, as a part of the liar's mean."""

    name: str
    lies: Mapping[int, Lie] = field(default_factory=dict)
    declares: float = 0.0


ENTRIES = (
    Entry("forecast x0.5", {LIAR: Lie("forecast", 0.5)}),
    Entry("forecast x1.5", {LIAR: Lie("forecast", 1.5)}),
    Entry("forecast x3", {LIAR: Lie("forecast", 3.0)}),
    Entry("build and burn, 30 honest windows, 5 x3", {LIAR: Lie("burn", 3.0, 30, 5)}),
    Entry("a fifth of the clients x1.5", {client: Lie("forecast", 1.5) for client in COALITION}),
    Entry("declared work that never comes", declares=1.0),
    Entry("replaced sidecar: its own counts x2", {LIAR: Lie("meter", 2.0)}),
)


@dataclass(frozen=True)
class Outcome:
    """Late shares of the liars' tokens and of everybody else's, in per cent."""

    liars: float
    others: float
    trust: float


def workload(seed: int) -> Demand:
    """Clients of different sizes, Poisson around levels that change every ten seconds."""
    chance = np.random.default_rng(seed)
    rates = np.geomspace(0.5, 16.0, CLIENTS)
    level = chance.gamma(8.0, 1 / 8, (SECONDS // 10 + 1, CLIENTS)).repeat(10, axis=0)[:SECONDS]
    return scenes.named(chance.poisson(level * rates).astype(float))


def outcome(entry: Entry, wanted: Demand, seed: int, liars: Sequence[int]) -> Outcome:
    capacity = float(wanted.tokens.sum()) / SECONDS / LOAD
    mean = float(wanted.tokens[:, LIAR].mean())
    declared = [
        Declaration(float(at), LIAR, at + 20.0, 20.0, entry.declares * mean * 20.0)
        for at in range(WARM_UP, SECONDS, 20)
        if entry.declares
    ]
    simulation = Simulation(
        policy(capacity), wanted, lies=entry.lies, declarations=declared, seed=seed, warm_up=WARM_UP
    )
    trust = []
    for tick in simulation.run():
        if tick >= WARM_UP and tick % 10 == 0:
            trust.append(simulation.running.outlook(liars[0])[1])
    recorder = simulation.recorder
    others = [client for client in range(CLIENTS) if client not in liars]
    return Outcome(
        _late(recorder.offered, recorder.on_time, liars),
        _late(recorder.offered, recorder.on_time, others),
        pairs.mean(trust),
    )


def _late(offered: Sequence[float], on_time: Sequence[float], clients: Sequence[int]) -> float:
    total = sum(offered[client] for client in clients)
    return 100.0 * (1 - sum(on_time[client] for client in clients) / total)


def table(seeds: int, say: Callable[[str], None]) -> Iterator[str]:
    yield "| lie | liars late: honest | lying | gain (at most) | others: honest | lied to | harm (at most) | trust |"
    yield "|---|---|---|---|---|---|---|---|"
    honest: dict[tuple[int, tuple[int, ...]], Outcome] = {}
    for entry in ENTRIES:
        liars = tuple(entry.lies) or (LIAR,)
        before, after = [], []
        for seed in range(seeds):
            wanted = workload(seed)
            if (seed, liars) not in honest:
                honest[seed, liars] = outcome(Entry("honest"), wanted, seed, liars)
            before.append(honest[seed, liars])
            after.append(outcome(entry, wanted, seed, liars))
            say(f"{entry.name} seed {seed}: liars {before[-1].liars:.2f} -> {after[-1].liars:.2f} %")
        gains = [b.liars - a.liars for b, a in zip(before, after, strict=True)]
        harms = [a.others - b.others for b, a in zip(before, after, strict=True)]
        yield (
            f"| {entry.name} | {_mean(before, 'liars')} | {_mean(after, 'liars')} | {_bound(gains)} "
            f"| {_mean(before, 'others')} | {_mean(after, 'others')} | {_bound(harms)} "
            f"| {pairs.mean([each.trust for each in after]):.2f} |"
        )


def _mean(outcomes: Sequence[Outcome], figure: str) -> str:
    return f"{pairs.mean([getattr(each, figure) for each in outcomes]):.2f} %"


def _bound(differences: Sequence[float]) -> str:
    centre = pairs.mean(differences)
    return f"{centre:+.2f} ({centre + pairs.half_width(differences):+.2f}) points"
