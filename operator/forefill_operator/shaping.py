"""The fill rate of one policy: target = base + predicted * weight_prediction + load * weight_load, then clamped.

Every term is kept, so that the rate can be explained.
"""

from typing import Literal

from msgspec import Struct

from forefill_operator.spec import FillRate

Clamp = Literal["None", "Min", "Max", "Ceiling"]
LoadState = Literal["Known", "Held", "Decaying", "Unknown"]


class Load(Struct, frozen=True):
    """The resource's load, each part in [0, 1], filtered; `age_seconds` since it was measured.

    Known: measured lately. Held: the newest value stands in for a missing one. Decaying: too old to be held, it fades
    out. Unknown: the parts say nothing.
    """

    cpu: float
    memory: float
    network: float
    state: LoadState = "Known"
    age_seconds: float = 0.0

    @property
    def mean(self) -> float:
        return (self.cpu + self.memory + self.network) / 3

    @property
    def worst(self) -> float:
        return max(self.cpu, self.memory, self.network)


class Terms(Struct, frozen=True):
    """`requested` is the sum of what clients ask for, `predicted_total` the same bounded by max; rates in tokens/s.

    `load` is None while it is unknown: its term is then left out. `weight_load` (0 or negative) is what a mean of 1
    adds to the target, tokens/s.
    """

    base: float
    requested: float
    predicted_total: float
    weight_prediction: float
    load: Load | None
    weight_load: float
    target: float
    adjusted: float
    clamp: Clamp


def shape(
    fill_rate: FillRate, requested: float, weight_prediction: float, load: Load | None, weight_load: float
) -> Terms:
    """min <= adjusted <= max, whatever the inputs are."""
    predicted_total = min(requested, fill_rate.max)
    load_term = load.mean * weight_load if load else 0.0
    target = fill_rate.base + predicted_total * weight_prediction + load_term
    adjusted = min(max(target, fill_rate.min), fill_rate.max)
    clamp: Clamp = "Min" if target < fill_rate.min else "Max" if target > fill_rate.max else "None"
    return Terms(
        base=fill_rate.base,
        requested=requested,
        predicted_total=predicted_total,
        weight_prediction=weight_prediction,
        load=load,
        weight_load=weight_load,
        target=target,
        adjusted=adjusted,
        clamp=clamp,
    )
