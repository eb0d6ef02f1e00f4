"""From a planned rate to a grant that fits: the envelope for the ledger and the Assignment for the wire."""

from msgspec import Struct
from msgspec.structs import replace

from forefill_operator.envelope import CLOCK_MARGIN, Envelope, Held
from forefill_operator.learning import last_rate
from forefill_operator.member import Member
from forefill_operator.policy import SAFE_SHARE, TokenPolicy
from forefill_operator.spec import Cost, Spec, UserDimension
from forefill_protocol.messages import Assignment, Recall, Step
from forefill_protocol.policysettings import CostRoute, CostSettings, ForecastSettings, PolicySettings, QueueSettings


class Amounts(Struct, frozen=True, gc=False):
    """A grant's rates, tokens/s, and burst, tokens. `falls` are moments and the rates from then on."""

    rate: float
    safe_rate: float
    burst: float
    falls: tuple[tuple[float, float], ...] = ()

    def falling(self, falls: tuple[tuple[float, float], ...]) -> "Amounts":
        """With the rates of `falls` from their moments on, and no safe rate above the last of them."""
        if not falls:
            return self
        falls = tuple((at, min(rate, self.rate)) for at, rate in falls)
        return Amounts(self.rate, min(self.safe_rate, falls[-1][1]), self.burst, falls)


def fitting(planned: float, burst: float, spec: Spec, own: Held, others: Held, clients: int) -> Amounts:
    """The most of `planned` and `burst` that keeps every sum within its bound.

    Bounds: rates max, safe rates SAFE_SHARE of max, bursts max * burst.seconds. What a client was granted (`own`) may
    be granted again whatever the `others` hold: that raises no sum, and reductions never wait.
    """
    highest = spec.fill_rate.max
    safe_budget = SAFE_SHARE * highest
    rate = min(planned, max(own.rate, highest - others.rate))
    safe_rate = min(rate, safe_budget / max(clients, 1), max(own.safe_rate, safe_budget - others.safe_rate))
    depth = highest * spec.burst.seconds
    return Amounts(rate, safe_rate, min(burst, max(own.burst, depth - others.burst)))


def envelope(assignment: Assignment, received_at: float, spec: Spec) -> Envelope:
    """The sidecar counts from sending its report, the operator from receiving it, and a little longer.

    Steps only ever take: room for a raise would have to be kept free until then.
    """
    return Envelope(
        sequence=assignment.grant_sequence,
        rate=assignment.fill_rate,
        rate_until=received_at + CLOCK_MARGIN * assignment.rate_seconds,
        safe_rate=assignment.safe_rate,
        lease_until=received_at + CLOCK_MARGIN * assignment.lease_seconds,
        last_rate=last_rate(assignment.safe_rate, spec.fallback),
        burst=assignment.burst,
        falls=tuple((received_at + CLOCK_MARGIN * step.after_seconds, step.fill_rate) for step in assignment.steps),
    )


def assignment(
    policy: TokenPolicy, member: Member, amounts: Amounts, sequence: int, reason: str, lump_tokens: float = 0.0
) -> Assignment:
    """Settings go along until the client has acknowledged this generation of the policy."""
    report = member.report or policy.spec.report
    return Assignment(
        policy=policy.key,
        policy_uid=policy.uid,
        policy_generation=policy.generation,
        grant_sequence=sequence,
        answers=member.answers,
        fill_rate=amounts.rate,
        burst=amounts.burst,
        safe_rate=amounts.safe_rate,
        next_report_seconds=report.interval_seconds,
        rate_seconds=member.rate_seconds(),
        lease_seconds=member.lease_seconds(),
        mode=policy.spec.mode,
        lump_tokens=lump_tokens,
        priority=member.priority,
        steps=[Step(max(at - member.received_at, 0.0), rate) for at, rate in amounts.falls],
        reason=reason,
        settings=settings(policy.spec) if member.generation != policy.generation else None,
    )


def recalled(held: Assignment, recall: Recall) -> Assignment:
    """The grant as the sidecar goes on with it after a recall."""
    rate = recall.fill_rate
    return replace(
        held,
        grant_sequence=recall.grant_sequence,
        fill_rate=min(held.fill_rate, rate),
        safe_rate=min(held.safe_rate, rate),
        steps=[replace(step, fill_rate=min(step.fill_rate, rate)) for step in held.steps],
        lump_tokens=0.0,
    )


def settings(spec: Spec) -> PolicySettings:
    """The part of a policy that sidecars act on."""
    return PolicySettings(
        report_interval_seconds=spec.report.interval_seconds,
        lease_seconds=spec.report.lease_seconds,
        fallback=spec.fallback,
        forecast=ForecastSettings(
            model=spec.forecast.model,
            quantile=spec.forecast.quantile,
            horizon_windows=spec.forecast.horizon_windows,
            time_zone=spec.forecast.time_zone,
            user_header=_user_header(spec.forecast.user_dimension),
        ),
        queue=QueueSettings(spec.queue.max_wait_seconds, spec.queue.max_requests),
        cost=_cost_settings(spec.cost),
    )


def _user_header(users: UserDimension) -> str:
    """Nobody is told of the header before it may be read."""
    return users.header if users.authorized else ""


def _cost_settings(cost: Cost) -> CostSettings:
    return CostSettings(
        default=cost.default,
        header=cost.header,
        routes=[CostRoute(route.path, route.cost, route.method) for route in cost.routes],
        per_kilobyte=cost.per_kilobyte,
        response_pointer=cost.response.json_pointer,
        reserve=cost.reserve,
        max_debt=cost.max_debt,
    )
