"""Sentences for a rate: why it is what it is."""

from collections.abc import Mapping
from functools import lru_cache

from forefill_operator.plan import Plan
from forefill_operator.shaping import Clamp, Terms


def target_sentence(terms: Terms) -> str:
    """The formula with its numbers, and the clamp where one took effect."""
    text = f"{terms.base:.4g} base + {terms.predicted_total:.4g} predicted x {terms.weight_prediction:.4g}"
    if terms.load:
        text += f" + {terms.load.mean:.2f} load x {terms.weight_load:.4g}"
    text += f" = {terms.target:.4g} tokens/s"
    text += _CLAMPED[terms.clamp].format(terms.adjusted)
    return f"{text}, and {terms.lent:.4g} lent while the resource idles" if terms.lent > 0.0 else text


_CLAMPED: Mapping[Clamp, str] = {
    "None": "",
    "Min": ", raised to min {:.4g}",
    "Max": ", cut to max {:.4g}",
    "Ceiling": ", cut to {:.4g} because the resource has too much to do",
}


def rate_sentence(rate: float, planned: float, request: float | None, plan: Plan) -> str:
    """Why one client runs at `rate`, tokens/s."""
    text = f"{rate:.4g} tokens/s: {_basis(planned, request)}; "
    text += _shared(plan.available, plan.terms.handed_out, plan.reserved)
    if rate < planned * (1 - 1e-6):
        text += f"; {planned:.4g} once others have acknowledged less"
    return text


@lru_cache(maxsize=256)
def _shared(available: float, handed_out: float, reserved: float) -> str:
    """The same for all clients of one plan."""
    text = f"clients share {available:.4g}"
    if available < handed_out:
        text += f" of {handed_out:.4g} ({reserved:.4g} may be held by silent clients)"
    return text


def _basis(planned: float, request: float | None) -> str:
    if request is None:
        return "an equal share until the first report"
    if planned < request * (1 - 1e-6):
        return f"asked for {request:.4g}, cut to a fair share of {planned:.4g}"
    return f"asked for {request:.4g} and got {planned - request:.4g} of the surplus"
