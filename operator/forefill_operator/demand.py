"""What one client needs, read from its reports and bounded: no number in a report is used as it comes."""

from collections.abc import Sequence

from msgspec import Struct

from forefill_protocol.messages import Expectation, PolicyReport

# A window that was closed early may be so short that one request looks like a flood: rates are over at least this.
SHORTEST_WINDOW_SECONDS = 1.0


class Demand(Struct, frozen=True, gc=False):
    """Tokens/s: `request` is what the client asks for, `reactive` what its last window alone would ask for.

    `spread` is how far its p95 lies above its mean. `owed` counts tokens that it offered and that were neither
    admitted nor refused: no more backlog than that is believed.
    """

    request: float
    reactive: float
    spread: float = 0.0
    owed: float = 0.0


def demand_of(entry: PolicyReport, owed: float, interval_seconds: float, highest_rate: float) -> Demand:
    """request = forecast mean + believed backlog / interval + declared work, at most `highest_rate`."""
    most = highest_rate * interval_seconds
    seconds = max(entry.window_seconds, SHORTEST_WINDOW_SECONDS)
    owed = min(max(owed + entry.offered - entry.admitted - entry.refused, 0.0), most)
    waiting = min(entry.backlog, owed) / interval_seconds
    declared = declared_tokens(entry.expectations, interval_seconds) / interval_seconds
    offered = entry.offered / seconds
    nearest = entry.forecasts[0] if entry.forecasts else None
    mean, spread = (nearest.mean, max(nearest.p95 - nearest.mean, 0.0)) if nearest else (offered, 0.0)
    return Demand(
        request=min(mean + waiting + declared, highest_rate),
        reactive=min(offered + waiting, highest_rate),
        spread=min(spread, highest_rate),
        owed=owed,
    )


def declared_tokens(expectations: Sequence[Expectation], within_seconds: float) -> float:
    """Tokens declared to arrive in the next `within_seconds`."""
    return sum(_part_within(expectation, within_seconds) * expectation.tokens for expectation in expectations)


def _part_within(expectation: Expectation, within_seconds: float) -> float:
    left = within_seconds - expectation.after_seconds
    if left <= 0:
        return 0.0
    return 1.0 if expectation.for_seconds <= left else left / expectation.for_seconds
