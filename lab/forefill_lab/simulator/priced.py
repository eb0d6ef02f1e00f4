"""The line of an app whose header misstates what requests cost, until their responses tell. In tokens as reserved."""

from functools import partial
from typing import Final

from forefill_lab.simulator.flow import Batch, Flow
from forefill_lab.simulator.timeline import Timeline
from forefill_protocol.policysettings import CostSettings
from forefill_sidecar import cost
from forefill_sidecar.cost import NO_ROUTE, CostRule

RESPONSE_SECONDS: Final = 2.0


class PricedBatch(Batch):
    """`price` was reserved for each token that it really takes."""

    __slots__ = ("price",)

    def __init__(self, tick: int, arrived_at: float, tokens: float, price: float) -> None:
        super().__init__(tick, arrived_at, tokens)
        self.price = price


class PricedFlow(Flow):
    """Says `factor` times the cost of every request. Its sidecar prices requests and settles them by `rule`.

    What arrives, and what is on time or late, counts as what it really takes; what waits and is dropped as reserved.
    """

    __slots__ = ("_cost", "_factor", "_rule")

    def __init__(
        self, timeline: Timeline, unit: float, offset: float, drift: float, *, rule: CostRule, factor: float
    ) -> None:
        super().__init__(timeline, unit, offset, drift)
        self._rule, self._factor, self._cost = rule, factor, unit

    def arrive(self, now: float, tokens: float) -> None:
        if not self.queue:
            # Nobody waited: what ran over until now is lost.
            self.bucket.try_take(now, 0.0)
        self.stand_in_line(now, tokens)
        self._admit(now)
        self.turn_away()

    def stand_in_line(self, now: float, tokens: float) -> None:
        self.serve(now)
        price = self._price()
        reserve = price * tokens
        self.offered += tokens
        self.meter.arrived(reserve)
        self.queue.append(PricedBatch(self.timeline.tick, now, reserve, price))
        self.waiting += reserve

    def _price(self) -> float:
        header = self._rule.header
        line = header + b":%.6f" % (self._factor * self._cost)
        return self._rule.price(b"POST", b"/", {header: line}, 0).tokens / self._cost

    def _admissible(self, tokens: float, burst: float) -> float:
        head = self.queue[0]
        assert isinstance(head, PricedBatch)
        self.unit = head.price * self._cost
        return super()._admissible(tokens, burst)

    def _passed(self, head: Batch, reserve: float) -> None:
        assert isinstance(head, PricedBatch)
        actual = reserve / head.price
        super()._passed(head, actual)
        self.timeline.later(RESPONSE_SECONDS, partial(self._answered, reserve, actual))

    def _answered(self, reserve: float, actual: float) -> None:
        """As `Charge.settle` does."""
        now, rule = self.clock(), self._rule
        rule.learn(NO_ROUTE, self._cost, self._factor * self._cost)
        self.meter.settled(actual - reserve)
        self.bucket.settle(now, actual - reserve, rule.debt_allowed(self.bucket.burst))
        self.serve(now)


def rule_of(settings: CostSettings) -> CostRule | None:
    """None where no header says what requests cost, or no response contradicts it: then what it says is the cost."""
    rule = cost.rule(settings)
    return rule if rule.header and rule.pointer else None
