"""The picture of docs/simulator.md: steady clients and jobs that are declared a minute before, under Forefill."""

from collections.abc import Iterator
from pathlib import Path

from bench.simulate import declared

from forefill_lab.simulator import plot
from forefill_lab.simulator.policies import constant
from forefill_lab.simulator.simulate import Simulation


def draw(path: Path) -> Iterator[str]:
    wanted, declarations = declared.workload(0)
    capacity = float(wanted.tokens.sum()) / declared.SECONDS / declared.LOAD
    simulation = Simulation(constant(capacity), wanted, declarations=declarations, with_curves=True)
    for _ in simulation.run():
        pass
    if simulation.curves is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        plot.draw(simulation.curves, simulation.recorder, simulation.scene, "twelve clients, four batch jobs", path)
        yield f"wrote {path}"
