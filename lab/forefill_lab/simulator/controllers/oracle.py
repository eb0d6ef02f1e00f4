"""A split that knows what comes: how well any division once an interval can do."""

from collections.abc import Sequence

from forefill_lab.simulator.controllers.base import Split
from forefill_operator import allocation


class Oracle(Split):
    """At each interval's beginning, without delay, max-min by its whole demand and what waits."""

    def _report(self) -> None:
        self._apply()
        self.timeline.later(self.scene.interval, self._report)

    def outlook(self, client: int) -> tuple[float, float, float]:
        return self._coming(client), 1.0, 1.0

    def _coming(self, client: int) -> float:
        """Tokens/s of the interval that begins with this tick."""
        first = self.timeline.tick
        last = first + max(1, round(self.scene.interval / self.timeline.step))
        return float(self.scene.demand.tokens[first:last, client].sum()) / self.scene.interval

    def shares(self, clients: Sequence[int], capacity: float) -> list[float]:
        return allocation.split(capacity, [self._claim(client) for client in clients])

    def _claim(self, client: int) -> allocation.Claim:
        flow = self._flows[client]
        flow.serve(flow.clock())
        request = self._coming(client) + flow.waiting / self.scene.interval
        return allocation.Claim(request, risk=request)
