"""What must hold at the end of every tick, whatever happens. A breach names the tick and the numbers."""

from collections.abc import Sequence
from math import fsum

from forefill_lab.simulator.controllers.base import Scene
from forefill_lab.simulator.controllers.fleet import Fleet
from forefill_lab.simulator.controllers.pod import Pod
from forefill_lab.simulator.flow import Flow
from forefill_operator.envelope import CLOCK_MARGIN
from forefill_operator.policy import SAFE_SHARE
from forefill_protocol.messages import Assignment

# Rounding, as a part of what is compared.
SLACK = 1e-6


class Broken(Exception):
    """An invariant does not hold: a sentence with the tick and the numbers."""


class Invariants:
    """Watches a run of Forefill; numbers are those of the design's list. Raises Broken."""

    def __init__(self, scene: Scene, fleet: Fleet) -> None:
        self._scene = scene
        self._fleet = fleet
        self._lease = CLOCK_MARGIN * scene.policy.spec.report.lease_seconds
        self._dearest: dict[int, float] = {}

    def __call__(self, tick: int, busy: set[int]) -> None:
        now = self._scene.timeline.now
        self._sum_of_rates(tick, now)
        self._terms(tick)
        is_observing = self._fleet.policy.spec.mode == "Observe"
        for client in busy:
            flow = self._fleet.flow(client)
            self._admitted(tick, client, flow)
            self._tokens_are_kept(tick, client, flow, is_observing)

    def _sum_of_rates(self, tick: int, now: float) -> None:
        """1: all rates in use fit what was the maximum within the last lease; so do half of it and all safe rates."""
        most = self._scene.capacity.largest_within(now - self._lease, now)
        bound = SAFE_SHARE * max(self._scene.capacity.rates)
        pods = self._granted()
        if self._fits(pods, most, bound):
            # All of them fit, and so do those that count.
            return
        pods = self._accounted(pods, now)
        used = fsum([pod.flow.bucket.fill_rate for pod, _ in pods])
        if used > most * (1 + SLACK):
            raise Broken(f"tick {tick}: rates of {used:.6g} tokens/s are in use, but at most {most:.6g} may be (1)")
        safe = fsum([held.safe_rate for _, held in pods])
        if safe > bound * (1 + SLACK):
            raise Broken(f"tick {tick}: safe rates come to {safe:.6g} tokens/s, but may to {bound:.6g} at most (1)")

    def _granted(self) -> list[tuple[Pod, Assignment]]:
        return [(pod, held) for pod in self._fleet.pods.values() if (held := pod.member.tenure.assignment) is not None]

    @staticmethod
    def _fits(pods: Sequence[tuple[Pod, Assignment]], most: float, bound: float) -> bool:
        used = fsum([pod.flow.bucket.fill_rate for pod, _ in pods])
        return used <= most * (1 + SLACK) and fsum([held.safe_rate for _, held in pods]) <= bound * (1 + SLACK)

    def _accounted(self, pods: list[tuple[Pod, Assignment]], now: float) -> list[tuple[Pod, Assignment]]:
        """Without those silent from before a restart until learning ended: their rate is safe."""
        operator = self._fleet.operator
        book = operator.books.get(self._fleet.policy.key) if operator else None
        if book is None or now < book.learning.until:
            return pods
        accounts = book.ledger.accounts
        return [
            (pod, held)
            for pod, held in pods
            if (account := accounts.get(pod.client.pod_uid)) is not None and account.claimed is None
        ]

    def _admitted(self, tick: int, client: int, flow: Flow) -> None:
        """2: no more was admitted than rates and lumps came to, and one request. Buckets start empty."""
        if flow.passes_all or flow.has_passed_all:
            return
        earned = self._fleet.gate(client).earned(flow.clock())
        totals, dearest = flow.meter.totals, flow.unit
        admitted = totals.admitted - totals.settled_down
        if admitted > earned + dearest + SLACK * (earned + 1.0):
            name = self._scene.demand.clients[client]
            raise Broken(f"tick {tick}: {name} was admitted {admitted:.6g} tokens of {earned:.6g} that it earned (2)")

    def _terms(self, tick: int) -> None:
        """3: the adjusted rate lies within its bounds, and the plan hands out no more than there is."""
        operator = self._fleet.operator
        book = operator.books.get(self._fleet.policy.key) if operator else None
        if book is None:
            return
        rate, terms, plan = book.policy.spec.fill_rate, book.plan.terms, book.plan
        if not rate.min * (1 - SLACK) <= terms.adjusted <= rate.max * (1 + SLACK):
            bounds = f"from {rate.min:.6g} to {rate.max:.6g}"
            raise Broken(f"tick {tick}: the adjusted rate is {terms.adjusted:.6g}, but must be {bounds} (3)")
        planned = plan.planned + plan.pool_rate
        if planned > plan.available * (1 + SLACK) or plan.available > rate.max * (1 + SLACK):
            there = f"of {plan.available:.6g} there are, and max is {rate.max:.6g}"
            raise Broken(f"tick {tick}: grants and pool of {planned:.6g} are planned, {there} (3)")

    def _tokens_are_kept(self, tick: int, client: int, flow: Flow, is_observing: bool) -> None:
        """5: Observe holds nobody up. And no token is lost or made on its way through a line."""
        name = self._scene.demand.clients[client]
        if is_observing and (flow.waiting or flow.dropped or flow.late):
            raise Broken(f"tick {tick}: {name} had to wait in mode Observe (5)")
        totals = flow.meter.totals
        rest = totals.offered - totals.admitted - totals.refused - flow.waiting
        if abs(rest) > SLACK * (totals.offered + 1.0):
            raise Broken(f"tick {tick}: {name} offered {totals.offered:.6g} tokens, {rest:.6g} of them are nowhere")
