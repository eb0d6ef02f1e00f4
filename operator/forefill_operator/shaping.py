"""The fill rate of one policy: target = base + predicted * weight_prediction + load * weight_load, then clamped.

Load enters three times: by its weight, by a ceiling that protects a resource with too much to do (a mean of three
hides one signal at 1, and a fixed weight swings), and by what is lent while the resource is known to idle. Every term
is kept, so that the rate can be explained. Pure: what has to be remembered is a value that goes in and comes out.
"""

from math import inf
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from forefill_operator.response import Response
from forefill_operator.spec import Spec

Clamp = Literal["None", "Min", "Max", "Ceiling"]
LoadState = Literal["Known", "Held", "Decaying", "Unknown"]

# The ceiling is at most this multiple of what was admitted, less up to CUT of it when the load is at 1, and at least
# LEAST_CUT, so that it gets below the threshold rather than close to it.
ADMITTED_MARGIN, CUT, LEAST_CUT = 1.02, 0.15, 0.01
# Within this part below the threshold the ceiling stands; below it, it rises by RISE an interval.
BAND, RISE = 0.05, 0.01
# Lending begins this far below the low threshold, and rises by at most this part of the spare capacity an interval.
LEND_RANGE, LEND_RISE = 0.1, 0.1
# While latency is over its threshold the weight of load grows by this factor an interval, up to the most.
LATENCY_GROWTH, LATENCY_MOST = 1.1, 3.0


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


class Inputs(Struct, frozen=True):
    """`requested` sums what clients ask for and `admitted` what they used lately, tokens/s.

    `load` is None while nobody measures it; `latency_p95` is what the sidecars see of the upstream, seconds.
    """

    requested: float
    weight_prediction: float
    load: Load | None = None
    latency_p95: float | None = None
    admitted: float = 0.0


class ShapingState(Struct, frozen=True):
    """What the next interval builds on, tokens/s. `growth` multiplies the weight of load."""

    ceiling: float = inf
    lent: float = 0.0
    growth: float = 1.0
    stepped_at: float = -inf
    response: Response = Response()


class Terms(Struct, frozen=True):
    """`requested` is the sum of what clients ask for, `predicted_total` the same bounded by max; rates in tokens/s.

    `load` is None while it is unknown: its term is then left out. `weight_load` (0 or negative) is what a mean of 1
    adds to the target. `adjusted` is the target within min, max and `ceiling` (max while nothing is wrong), `lent` what
    is handed out on top of it while the resource idles.
    """

    base: float
    requested: float
    predicted_total: float
    weight_prediction: float
    load: Load | None
    weight_load: float
    target: float
    ceiling: float
    adjusted: float
    clamp: Clamp
    lent: float = 0.0

    @property
    def handed_out(self) -> float:
        return self.adjusted + self.lent


def shape(spec: Spec, inputs: Inputs, state: ShapingState, now: float) -> tuple[Terms, ShapingState]:
    """The terms at `now`, and the state for the next time, which steps once an interval however often it is asked."""
    load = inputs.load if inputs.load and inputs.load.state != "Unknown" else None
    state = _step(spec, replace(inputs, load=load), state, now)
    terms = terms_of(spec, inputs.requested, inputs.weight_prediction, load, state)
    lent = min(_lendable(spec, load, terms), state.lent)
    return replace(terms, lent=lent), replace(state, lent=lent)


def terms_of(spec: Spec, requested: float, weight_prediction: float, load: Load | None, state: ShapingState) -> Terms:
    """The formula and its clamps: min <= adjusted <= max, whatever the inputs are. What is lent goes on."""
    rate = spec.fill_rate
    predicted_total = min(requested, rate.max)
    weight_load = _weight_load(spec, load, state.growth)
    target = rate.base + predicted_total * weight_prediction + (load.mean * weight_load if load else 0.0)
    ceiling = min(max(state.ceiling, rate.min), rate.max)
    adjusted = min(max(target, rate.min), ceiling)
    return Terms(
        base=rate.base,
        requested=requested,
        predicted_total=predicted_total,
        weight_prediction=weight_prediction,
        load=load,
        weight_load=weight_load,
        target=target,
        ceiling=ceiling,
        adjusted=adjusted,
        clamp=_clamp(target, rate.min, ceiling, rate.max),
        lent=max(min(state.lent, ceiling - adjusted), 0.0),
    )


def _clamp(target: float, lowest: float, ceiling: float, highest: float) -> Clamp:
    if target < lowest:
        return "Min"
    if target > ceiling:
        return "Ceiling" if ceiling < highest else "Max"
    return "None"


def _weight_load(spec: Spec, load: Load | None, growth: float) -> float:
    """Nothing below the low threshold, the policy's weight from the high one on, and in proportion between."""
    if load is None:
        return 0.0
    low, high = spec.thresholds.load.low, spec.thresholds.load.high
    return spec.weights.load * min(max((load.mean - low) / (high - low), 0.0), 1.0) * growth + 0.0


def _step(spec: Spec, inputs: Inputs, state: ShapingState, now: float) -> ShapingState:
    """Move ceiling and weight when an interval has passed, and let what is lent rise."""
    if now < state.stepped_at + spec.report.interval_seconds:
        return state
    spare = LEND_RISE * (spec.fill_rate.max - spec.fill_rate.min)
    late = _lateness(spec, inputs.latency_p95) > 1.0
    growth = state.growth * LATENCY_GROWTH if late else state.growth / LATENCY_GROWTH
    response = _heard(inputs, state.response)
    return ShapingState(
        ceiling=_next_ceiling(spec, inputs, state.ceiling, response),
        lent=state.lent + spare,
        growth=min(max(growth, 1.0), LATENCY_MOST),
        stepped_at=now,
        response=response,
    )


def _heard(inputs: Inputs, response: Response) -> Response:
    """A value that stands in for a missing one teaches nothing."""
    if inputs.load is None or inputs.load.state != "Known":
        return response.forgotten()
    return response.observed(inputs.admitted, inputs.load.worst)


def _lateness(spec: Spec, latency_p95: float | None) -> float:
    """Latency as a multiple of its threshold; 0 without either."""
    bound = spec.thresholds.latency_p95_milliseconds
    return 0.0 if bound is None or latency_p95 is None else 1000.0 * latency_p95 / bound


def _next_ceiling(spec: Spec, inputs: Inputs, ceiling: float, response: Response) -> float:
    """Down at once by how far the worst signal is over, slowly up when it is well below, infinite when all is well.

    A signal that comes late counts as over only if it makes the present rate so too, and as below likewise: what was
    cut or raised since is not seen yet. But no cut is waited for longer than it takes to show, and what proves to have
    been cut too far is taken back at once.
    Without any signal the ceiling goes on rising: the load is then a named state of its own, not a reason to hold.
    """
    rate, high = spec.fill_rate, spec.thresholds.load.high
    used = min(ceiling, rate.max, max(ADMITTED_MARGIN * inputs.admitted, rate.min))
    worst = inputs.load.worst if inputs.load else 0.0
    expected = response.load_at(used) if response.loads and not response.outlasts(high) else worst
    lateness = _lateness(spec, inputs.latency_p95)
    over = max((min(worst, expected) - high) / (1.0 - high), min(lateness - 1.0, 1.0))
    if over > 0.0:
        return max(used * (1.0 - max(CUT * over, LEAST_CUT)), rate.min)
    calm = (1.0 - BAND) * high
    if max(worst, expected) >= calm or lateness >= 1.0 - BAND:
        return max(ceiling, rate.min)
    risen = max(max(ceiling, rate.min) * (1.0 + RISE), response.proven(calm))
    return risen if risen < rate.max else inf


def _lendable(spec: Spec, load: Load | None, terms: Terms) -> float:
    """What may be lent by the load alone: nothing when it is unknown, or when the policy holds to its target."""
    if load is None or spec.fill_rate.surplus == "Hold":
        return 0.0
    idle = min(max((spec.thresholds.load.low - load.mean) / LEND_RANGE, 0.0), 1.0)
    return max(terms.ceiling - terms.adjusted, 0.0) * idle
