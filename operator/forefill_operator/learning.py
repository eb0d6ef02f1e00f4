"""After a restart the ledger is empty while clients go on using what an earlier operator gave them.

For one lease the rest of max that no client has claimed counts as held by clients that have not spoken yet. A claim
takes its part out of that rest, so claims together never exceed max, and what is nobody's stays untouched until the
lease of every grant of the earlier operator has ended. When no operator has ever granted anything there is no rest.

The limit: the ledger in memory does not know of a pod that stays silent all through learning. It runs at its safe rate,
and is counted from its first word on; with all such pods the safe rates are at most SAFE_SHARE of max.
"""

from forefill_operator.envelope import CLOCK_MARGIN, Envelope
from forefill_operator.policy import REPORT_MARGIN_SECONDS, SAFE_SHARE
from forefill_operator.spec import Spec
from forefill_protocol.fields import Fallback
from forefill_protocol.messages import Holding


class Learning:
    """`unknown_at` is how much of max, tokens/s, clients of an earlier operator may hold that have not spoken."""

    __slots__ = ("_unknown", "until")

    def __init__(self, unknown: float = 0.0, until: float = 0.0) -> None:
        self._unknown = unknown
        self.until = until

    def unknown_at(self, now: float) -> float:
        return self._unknown if now < self.until else 0.0

    def confirm(self, claimed_rate: float, now: float) -> float:
        """The part of a claim that can be true; it is no longer unknown."""
        confirmed = min(claimed_rate, self.unknown_at(now))
        self._unknown -= confirmed
        return confirmed


def confirmed_envelope(holding: Holding, spec: Spec, learning: Learning, now: float) -> Envelope:
    """What a client of an earlier operator holds, as far as it fits under max together with what others claimed."""
    rate = learning.confirm(holding.fill_rate, now)
    return _envelope(holding, spec, rate, min(holding.safe_rate, rate), now)


def claimed_envelope(holding: Holding, spec: Spec, clients: int, now: float) -> Envelope:
    """What a client may be using without a grant that is known here: the safe rate that its pod was given, or that it
    fell back to. It is bounded by a safe share, so that a false claim can't hold up the others.
    """
    # Before its first answer a sidecar's `fill_rate` is 0 for a moment and becomes `safe_rate` by itself.
    rate = min(max(holding.fill_rate, holding.safe_rate), SAFE_SHARE * spec.fill_rate.max / max(clients, 1))
    return _envelope(holding, spec, rate, rate, now)


def _envelope(holding: Holding, spec: Spec, rate: float, safe_rate: float, now: float) -> Envelope:
    seconds_left = min(holding.seconds_left, spec.report.interval_seconds + REPORT_MARGIN_SECONDS)
    return Envelope(
        sequence=holding.grant_sequence,
        rate=rate,
        rate_until=now + CLOCK_MARGIN * seconds_left,
        safe_rate=safe_rate,
        lease_until=now + CLOCK_MARGIN * spec.report.lease_seconds,
        last_rate=last_rate(safe_rate, spec.fallback),
        burst=rate * spec.burst.seconds,
    )


def last_rate(safe_rate: float, fallback: Fallback) -> float:
    """What is counted after the lease. `Open` is outside of every bound; it is counted at the safe rate."""
    return 0.0 if fallback == "Deny" else safe_rate
