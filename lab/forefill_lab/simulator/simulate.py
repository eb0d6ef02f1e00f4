"""From a policy, a demand and a controller's name to a run's totals."""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from forefill_lab.simulator.capacity import Capacity
from forefill_lab.simulator.conditions import Conditions
from forefill_lab.simulator.controllers.adaptive import Aimd, Gradient2
from forefill_lab.simulator.controllers.base import Controller, Scene
from forefill_lab.simulator.controllers.central import Central
from forefill_lab.simulator.controllers.doorman import Doorman
from forefill_lab.simulator.controllers.fleet import Fleet
from forefill_lab.simulator.controllers.oracle import Oracle
from forefill_lab.simulator.controllers.reactive import Ewma, MaxMin
from forefill_lab.simulator.controllers.static import Static, Weighted
from forefill_lab.simulator.demand import Demand
from forefill_lab.simulator.expect import Declaration
from forefill_lab.simulator.invariants import Invariants
from forefill_lab.simulator.lies import Lie
from forefill_lab.simulator.plot import Curves
from forefill_lab.simulator.run import Watch, run
from forefill_lab.simulator.ticks import Ticks
from forefill_lab.simulator.timeline import Timeline
from forefill_lab.simulator.totals import Recorder
from forefill_operator.policy import TokenPolicy

CONTROLLERS: Mapping[str, Callable[[Scene], Controller]] = {
    "forefill": Fleet,
    "static": Static,
    "max-min": MaxMin,
    "ewma": Ewma,
    "doorman": Doorman,
    "central": Central,
    "oracle": Oracle,
    "static-weighted": Weighted,
    "aimd": Aimd,
    "gradient2": Gradient2,
}

RARELY = (100_000, 50, 1000)


@dataclass
class Simulation:
    """`controller` is one of CONTROLLERS; the first `warm_up` ticks are run but not counted."""

    policy: TokenPolicy
    demand: Demand
    controller: str = "forefill"
    conditions: Conditions = field(default_factory=Conditions)
    lies: Mapping[int, Lie] = field(default_factory=dict)
    declarations: Sequence[Declaration] = ()
    seed: int = 0
    warm_up: int = 0
    ticks: TextIO | None = None
    with_curves: bool = False
    # In place of the policy's fillRate.max, to which it is then set; base and min move with it.
    capacity: Capacity | None = None
    make: Callable[[Scene], Controller] | None = None

    def __post_init__(self) -> None:
        capacity = self.capacity or Capacity([self.policy.spec.fill_rate.max])
        self.timeline = Timeline(self.demand.step)
        self.scene = Scene(
            self.policy,
            self.demand,
            self.timeline,
            self.conditions,
            capacity,
            self.lies,
            self.declarations,
            self.seed,
        )
        self.running = (self.make or CONTROLLERS[self.controller])(self.scene)
        self.recorder = Recorder(self.scene, self.running, self.warm_up)
        self.curves = Curves(self.scene, self.running) if self.with_curves else None

    def run(self) -> Iterator[int]:
        """Advance; yields the number of each tick that is over."""
        watches: list[Watch] = [self.recorder]
        if isinstance(self.running, Fleet):
            watches.append(Invariants(self.scene, self.running))
        if self.curves is not None:
            watches.append(self.curves)
        if self.ticks is not None:
            watches.append(Ticks(self.ticks, self.demand, self.running))
        thresholds = gc.get_threshold()
        # Nothing here is cyclic garbage; looking for it among millions of events would take a third of the time.
        gc.set_threshold(*RARELY)
        try:
            yield from run(self.demand, self.timeline, self.running, watches)
        finally:
            gc.set_threshold(*thresholds)
