"""The cost law: what an operator of n clients spends, as a + b n."""

from collections.abc import Sequence
from typing import NamedTuple


class Law(NamedTuple):
    """`fixed` however few there are, and `each` a client; in the unit of what was fitted."""

    fixed: float
    each: float

    def at(self, clients: float) -> float:
        return self.fixed + self.each * clients


def fit(clients: Sequence[float], costs: Sequence[float]) -> Law:
    """Least squares on relative differences, so that small and large runs count alike."""
    weights = [1.0 / (cost * cost) for cost in costs]
    whole = sum(weights)
    mean_x = sum(w * x for w, x in zip(weights, clients, strict=True)) / whole
    mean_y = sum(w * y for w, y in zip(weights, costs, strict=True)) / whole
    square = sum(w * (x - mean_x) ** 2 for w, x in zip(weights, clients, strict=True))
    if square == 0.0:
        return Law(mean_y, 0.0)
    slope = sum(
        w * (x - mean_x) * (y - mean_y) for w, x, y in zip(weights, clients, costs, strict=True)
    ) / square  # fmt: skip
    return Law(mean_y - slope * mean_x, slope)
