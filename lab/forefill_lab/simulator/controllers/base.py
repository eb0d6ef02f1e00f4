"""What every controller is to the run, and what those that retune flows once an interval share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from forefill_lab.simulator.capacity import Capacity
from forefill_lab.simulator.conditions import Conditions
from forefill_lab.simulator.demand import Demand
from forefill_lab.simulator.expect import Declaration
from forefill_lab.simulator.flow import Flow
from forefill_lab.simulator.lies import Lie
from forefill_lab.simulator.timeline import Timeline
from forefill_operator.policy import TokenPolicy


@dataclass(frozen=True)
class Scene:
    """What a controller is given. `capacity(time)` is the most that may be handed out, tokens/s: the policy's max.

    `lies` and `declarations` are those of clients, by index.
    """

    policy: TokenPolicy
    demand: Demand
    timeline: Timeline
    conditions: Conditions
    capacity: Capacity
    lies: Mapping[int, Lie]
    declarations: Sequence[Declaration]
    seed: int

    @property
    def depth_seconds(self) -> float:
        return self.policy.spec.burst.seconds

    @property
    def interval(self) -> float:
        return self.policy.spec.report.interval_seconds

    def bent_by(self, client: int, window: int) -> float:
        """What the client multiplies its word by in this report."""
        lie = self.lies.get(client)
        return lie.factor_in(window) if lie else 1.0

    def flow(self, offset: float = 0.0, drift: float = 1.0, make: Callable[..., Flow] = Flow) -> Flow:
        """An empty line in front of an empty bucket without rate, on a clock of its own."""
        spec = self.policy.spec
        flow = make(self.timeline, spec.cost.default or 1.0, offset, drift)
        flow.max_wait_seconds = spec.queue.max_wait_seconds
        flow.max_waiting = spec.queue.max_requests * flow.unit
        return flow


class Controller(Protocol):
    """Ticks call `join` and `leave`, `arrive` for everyone with demand, `open`, and at their end `settle`.

    `clients` are indices of the demand's clients.
    """

    def join(self, client: int) -> None: ...
    def leave(self, client: int) -> None: ...
    def arrive(self, client: int, tokens: float) -> None: ...
    def open(self) -> None: ...
    def settle(self) -> None: ...
    def flow(self, client: int) -> Flow: ...
    def granted(self, client: int) -> float: ...
    def outlook(self, client: int) -> tuple[float, float, float]:
        """Forecast, trust and priority."""
        ...


class Split:
    """Flows of their own whose rates are set once an interval by `shares`, from reports that take their way and back.

    All clients report at once, and all rates change at once: better than what messages of their own time can do, so
    that these controllers are, if anything, flattered.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.timeline = scene.timeline
        self._flows: dict[int, Flow] = {}
        self._all: dict[int, Flow] = {}
        self._changed = False
        self._windows = 0
        self.timeline.at(0.0, self._first)
        for time in scene.capacity.times[1:]:
            self.timeline.at(time, self._apply)

    def _first(self) -> None:
        self._apply()
        self.timeline.later(self.scene.interval, self._report)

    def join(self, client: int) -> None:
        self._flows[client] = self._all[client] = self.scene.flow()
        if not self._changed:
            self._changed = True
            self.timeline.later(0.0, self._apply)

    def leave(self, client: int) -> None:
        flow = self._flows.pop(client)
        flow.retune(self.timeline.now, 0.0, 0.0)
        self.left(client)

    def left(self, client: int) -> None:
        """Forget the client."""

    def arrive(self, client: int, tokens: float) -> None:
        self._all[client].arrive(self.timeline.now, tokens)

    def open(self) -> None:
        return

    def settle(self) -> None:
        return

    def flow(self, client: int) -> Flow:
        return self._all[client]

    def granted(self, client: int) -> float:
        return self._all[client].bucket.fill_rate

    def outlook(self, client: int) -> tuple[float, float, float]:
        return 0.0, 1.0, 1.0

    def _report(self) -> None:
        """Close everyone's window; the answers are there two delays later."""
        now = self.timeline.now
        self._windows += 1
        for client, flow in self._flows.items():
            flow.serve(now)
            window = flow.meter.close(now)
            factor = self.scene.bent_by(client, self._windows)
            seconds = window.window_seconds or self.scene.interval
            self.learn(client, factor * window.offered / seconds, window.backlog)
        self.timeline.later(2 * self.scene.conditions.delay_seconds, self._apply)
        self.timeline.later(self.scene.interval, self._report)

    def learn(self, client: int, offered: float, backlog: float) -> None:
        """Take a report: offered tokens/s, waiting tokens."""

    def shares(self, clients: Sequence[int], capacity: float) -> list[float]:
        raise NotImplementedError

    def _apply(self) -> None:
        self._changed = False
        now, clients = self.timeline.now, list(self._flows)
        capacity = self.scene.capacity(now)
        depth = capacity * self.scene.depth_seconds
        for client, rate in zip(clients, self.shares(clients, capacity), strict=True):
            self._flows[client].retune(now, rate, depth * rate / capacity if capacity > 0 else 0.0)
