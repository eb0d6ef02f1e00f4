"""What a run came to: one set of figures a controller. Pure."""

from collections.abc import Sequence
from math import fsum

from msgspec import Struct

from forefill_lab.simulator.controllers.base import Controller, Scene
from forefill_lab.simulator.flow import Flow
from forefill_operator.envelope import CLOCK_MARGIN

CRUMB = 1e-9


class Totals(Struct, frozen=True):
    """Tokens, seconds and shares of the offered tokens. `over_grant` is the most that all rates together exceeded the
    capacity by, tokens/s; `false_throttle` the share of tokens that had to wait, or were dropped, in ticks in which the
    resource had capacity left; `worst_client` the one with the least on time.
    """

    controller: str
    offered: float
    on_time_share: float
    late_share: float
    dropped: float
    mean_wait_seconds: float
    wait_p50_seconds: float
    wait_p95_seconds: float
    capacity_used: float
    over_grant: float
    jain: float
    worst_client: str
    worst_on_time_share: float
    false_throttle: float


class Recorder:
    """Watches a run. `begin` is the first tick that counts, `served` are the tokens of the newest one."""

    def __init__(self, scene: Scene, controller: Controller, begin: int = 0) -> None:
        self._scene = scene
        self._controller = controller
        self._begin = begin
        count = len(scene.demand.clients)
        self.offered, self.on_time, self.late, self.dropped = ([0.0] * count for _ in range(4))
        self.capacity = self.over_grant = self.false_throttle = self.served = 0.0
        self._waited_before: dict[int, float] = {}
        self._waits_before: dict[int, list[float]] = {}

    def __call__(self, tick: int, busy: set[int]) -> None:
        self.served = 0.0
        if tick < self._begin:
            return
        if tick == self._begin and tick > 0:
            self._remember()
        controller, step = self._controller, self._scene.timeline.step
        short = 0.0
        for client in busy:
            flow = controller.flow(client)
            self.offered[client] += flow.offered
            self.on_time[client] += flow.on_time
            self.late[client] += flow.late
            self.dropped[client] += flow.dropped
            self.served += flow.on_time + flow.late
            short += max(0.0, flow.offered - flow.on_time)
        begun = self._scene.timeline.now - step
        capacity = step * self._scene.capacity(begun)
        self.capacity += capacity
        self.false_throttle += min(short, max(0.0, capacity - self.served))
        joins = self._scene.demand.joins
        granted = fsum([controller.granted(client) for client, joined in enumerate(joins) if joined <= tick])
        lease = self._scene.policy.spec.report.lease_seconds
        most = self._scene.capacity.largest_within(begun - CLOCK_MARGIN * lease, begun + step)
        if granted > most * (1 + CRUMB):
            self.over_grant = max(self.over_grant, granted - most)

    def _remember(self) -> None:
        """What waited before the first tick that counts is left out."""
        for client in range(len(self.offered)):
            if self._scene.demand.joins[client] < self._begin:
                flow = self._controller.flow(client)
                self._waited_before[client] = flow.waited
                self._waits_before[client] = list(flow.waits)

    def totals(self, name: str) -> Totals:
        flows = {client: self._controller.flow(client) for client in range(len(self.offered))}
        offered, on_time = sum(self.offered), sum(self.on_time)
        served = on_time + sum(self.late)
        waited = sum(flow.waited - self._waited_before.get(client, 0.0) for client, flow in flows.items())
        waits = self._waits(flows)
        shares = {c: self.on_time[c] / o for c, o in enumerate(self.offered) if o > CRUMB}
        fair = [(self.on_time[c] + self.late[c]) / o for c, o in enumerate(self.offered) if o > CRUMB]
        worst = min(shares, key=lambda client: shares[client], default=-1)
        step = self._scene.timeline.step
        return Totals(
            controller=name,
            offered=offered,
            on_time_share=_part(on_time, offered, 1.0),
            late_share=_part(offered - on_time, offered, 0.0),
            dropped=sum(self.dropped),
            mean_wait_seconds=_part(waited, offered, 0.0),
            wait_p50_seconds=step * _quantile(on_time, waits, 0.5),
            wait_p95_seconds=step * _quantile(on_time, waits, 0.95),
            capacity_used=_part(served, self.capacity, 0.0),
            over_grant=max(0.0, self.over_grant),
            jain=sum(fair) ** 2 / (len(fair) * sum(x * x for x in fair)) if any(fair) else 1.0,
            worst_client=self._scene.demand.clients[worst] if worst >= 0 else "",
            worst_on_time_share=shares.get(worst, 1.0),
            false_throttle=_part(self.false_throttle, offered, 0.0),
        )

    def lateness(self) -> list[tuple[str, float]]:
        """Clients with the share of their tokens that was not on time, the largest amounts of such tokens first."""
        short = [
            (offered - on_time, client)
            for client, (offered, on_time) in enumerate(zip(self.offered, self.on_time, strict=True))
        ]
        names = self._scene.demand.clients
        return [
            (names[client], _part(tokens, self.offered[client], 0.0))
            for tokens, client in sorted(short, key=lambda each: -each[0])
        ]

    def _waits(self, flows: dict[int, Flow]) -> list[float]:
        waits: list[float] = []
        for client, flow in flows.items():
            before = self._waits_before.get(client, [])
            waits += [0.0] * (len(flow.waits) - len(waits))
            for index, tokens in enumerate(flow.waits):
                waits[index] += tokens - (before[index] if index < len(before) else 0.0)
        return waits


def _part(part: float, whole: float, otherwise: float) -> float:
    return part / whole if whole > CRUMB else otherwise


def _quantile(on_time: float, waits: Sequence[float], level: float) -> float:
    """Ticks that `level` of the served tokens did not wait longer than."""
    wanted = level * (on_time + sum(waits))
    reached = on_time
    for ticks, tokens in enumerate(waits, start=1):
        if reached >= wanted - CRUMB:
            return ticks - 1
        reached += tokens
    return len(waits) if waits and reached > 0 else 0
