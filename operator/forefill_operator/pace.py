"""How often to plan anew, so that planning takes a small part of a core however many clients there are."""

from typing import NamedTuple

# Planning for all policies takes at most this part of a core, by what a plan costs: so much, and so much a client
# (twice what `bench.scale --plan` finds, since caches are cold while reports come).
CORE_PART = 0.05
PLAN_SECONDS, CLIENT_SECONDS = 0.5e-3, 1e-6
# While reports come, a plan is made anew this often where that is not too dear.
PERIOD_SECONDS, FRESH_SECONDS = 1.0, 0.25


class Pace(NamedTuple):
    """Seconds. `spacing` is what a plan keeps from the one before it, however urgent it is; a plan is new enough for an
    answer that nobody waits for until it is as old as `freshness`; while reports come there is one a `period`.
    """

    spacing: float
    freshness: float
    period: float


def pace_of(clients: int, policies: int) -> Pace:
    """Of one policy with so many clients, one of so many that are planned for often."""
    spacing = policies * (PLAN_SECONDS + CLIENT_SECONDS * clients) / CORE_PART
    return Pace(spacing, max(FRESH_SECONDS, spacing), max(PERIOD_SECONDS, spacing))
