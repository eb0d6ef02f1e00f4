"""What every client of one policy is to get in the coming interval. `plan` is a function from values to a value."""

from collections.abc import Sequence
from math import fsum

from msgspec import Struct

from forefill_operator import allocation, shaping
from forefill_operator.demand import Demand
from forefill_operator.policy import TokenPolicy
from forefill_operator.shaping import Load, Terms

# Parts of a client's equal share. Nobody is planned below the first, so that the first request after a silence finds
# a bucket that fills; nobody's demand counts as better known than the second.
IDLE_PART = 0.01
LEAST_RISK_PART = 0.05


class Need(Struct, frozen=True, gc=False):
    """One client in the plan. Without a report `demand` is None: it gets an equal share and predicts nothing."""

    pod_uid: str
    demand: Demand | None


class Standing(Struct, frozen=True):
    """The clients to plan for, and `reserved`: tokens/s that others may hold and that can't be given twice."""

    needs: Sequence[Need]
    reserved: float = 0.0


class Plan(Struct, frozen=True):
    """`rates` (tokens/s by pod uid) sum to `available`: the adjusted fill rate, or what `reserved` leaves of max."""

    generation: int
    made_at: float
    terms: Terms
    reserved: float
    available: float
    rates: dict[str, float]

    @property
    def equal_share(self) -> float:
        return self.available / max(len(self.rates), 1)


def plan(policy: TokenPolicy, standing: Standing, load: Load | None, now: float) -> Plan:
    """Shape the fill rate from the sum of requests, then divide it; the requests of newcomers are neutral."""
    fill_rate = policy.spec.fill_rate
    requested = fsum(need.demand.request for need in standing.needs if need.demand)
    terms = shaping.shape(fill_rate, requested, policy.spec.weights.prediction.initial, load, policy.spec.weights.load)
    available = available_rate(terms, standing.reserved, fill_rate.max)
    share = available / max(len(standing.needs), 1)
    claims = [_claim(need.demand, share, fill_rate.max) for need in standing.needs]
    rates = allocation.split(available, claims)
    return Plan(
        generation=policy.generation,
        made_at=now,
        terms=terms,
        reserved=standing.reserved,
        available=available,
        rates={need.pod_uid: rate for need, rate in zip(standing.needs, rates, strict=True)},
    )


def available_rate(terms: Terms, reserved: float, highest_rate: float) -> float:
    return max(0.0, min(terms.adjusted, highest_rate - reserved))


def _claim(demand: Demand | None, share: float, ceiling: float) -> allocation.Claim:
    """A forecast below what the last window asked for takes nobody under the smaller of that and its equal share.

    A spread is believed up to the larger of request and equal share: uncertainty can't be claimed without bound.
    """
    if demand is None:
        return allocation.Claim(request=share, risk=LEAST_RISK_PART * share, ceiling=ceiling)
    request = max(demand.request, min(demand.reactive, share), IDLE_PART * share)
    risk = min(demand.spread, max(request, share)) + LEAST_RISK_PART * share
    return allocation.Claim(request=request, risk=risk, ceiling=ceiling)
