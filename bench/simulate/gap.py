"""How much of the gap from EWMA to one central bucket each controller closes, on the demand of the ServeGen clients."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from bench.simulate import pairs, servegen
from bench.simulate.beside import side_by_side

from forefill_lab.simulator.controllers.base import Scene
from forefill_lab.simulator.controllers.fleet import Fleet
from forefill_lab.simulator.policies import constant
from forefill_lab.simulator.simulate import Simulation
from forefill_lab.simulator.totals import Totals
from forefill_operator.controller import Controller, Deliveries
from forefill_operator.policy import TokenPolicy

BASE, BOUND, WITHOUT_RECALL = "ewma", "central", "forefill without recall"
Results = dict[str, list[Totals]]


class Unrecalled(Controller):
    """Asks nobody to give anything back: raises wait for what is free, queues for the pool."""

    def put_policy(self, policy: TokenPolicy, now: float, *, is_new: bool = False) -> Deliveries:
        sendings = super().put_policy(policy, now, is_new=is_new)
        self.books[policy.key].issuer.most_rounds = 0
        return sendings


def without_recall(scene: Scene) -> Fleet:
    return Fleet(scene, lambda first_start: Unrecalled(first_start=first_start))


def measure(
    data: Path,
    load: float,
    scale: float,
    seeds: int,
    hours: float,
    controllers: Sequence[str],
    processes: int,
    say: Callable[[str], None],
) -> Results:
    """Totals by controller, one a seed; every controller gets the same arrivals."""
    run = partial(totals, servegen.clients(data), load, scale, hours, controllers)
    results: Results = {name: [] for name in controllers}
    for seed, found in enumerate(side_by_side(run, range(seeds), processes)):
        for name, each in zip(controllers, found, strict=True):
            results[name].append(each)
            say(f"load {load:g} scale {scale:g} seed {seed} {name}: late {each.late_share:.5f}")
    return results


def totals(
    paths: Sequence[Path], load: float, scale: float, hours: float, controllers: Sequence[str], seed: int
) -> list[Totals]:
    work = servegen.workload(paths, load, hours, seed, scale)
    found = []
    for name in controllers:
        simulation = Simulation(
            constant(work.capacity.rates[0]),
            work.demand,
            name,
            seed=seed,
            warm_up=servegen.WARM_UP_SECONDS,
            capacity=work.capacity,
            make=without_recall if name == WITHOUT_RECALL else None,
        )
        for _ in simulation.run():
            pass
        found.append(simulation.recorder.totals(name))
    return found


def table(results: Results) -> Iterator[str]:
    yield "| controller | late | mean wait | dropped | gap closed: late | wait | capacity used | worst client on time |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, totals in results.items():
        late = [each.late_share for each in totals]
        wait = [each.mean_wait_seconds for each in totals]
        dropped = pairs.mean([each.dropped / each.offered for each in totals])
        used = pairs.mean([each.capacity_used for each in totals])
        worst = pairs.mean([each.worst_on_time_share for each in totals])
        yield (
            f"| {name} | {pairs.mean(late):.3%} ± {pairs.half_width(late):.3%} | {pairs.mean(wait):.4f} s "
            f"| {dropped:.4%} "
            f"| {_closed(results, name, 'late_share')} | {_closed(results, name, 'mean_wait_seconds')} "
            f"| {used:.1%} | {worst:.1%} |"
        )


def _closed(results: Results, name: str, figure: str) -> str:
    if name == BASE or not {BASE, BOUND} <= set(results):
        return "-"
    base, reached, bound = ([getattr(each, figure) for each in results[key]] for key in (BASE, name, BOUND))
    part, half = pairs.closed(base, reached, bound)
    return f"{part:.0%} ± {half:.0%}"
