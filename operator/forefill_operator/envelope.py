"""A grant over time: what its client may be using at each moment. Pure.

An envelope never rises by itself, so a sum that fits when a grant is issued fits ever after.
"""

from math import inf
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

# A sidecar's clock may run slow by this much against the operator's.
CLOCK_MARGIN = 1.01


class Envelope(Struct, frozen=True, gc=False):
    """`rate` until `rate_until`, then `safe_rate` until `lease_until`, then `last_rate`; each at most the one before.

    Each of `falls` is a moment before `rate_until` and the rate from then on, in the order of time. Times are the
    operator's monotonic seconds, rates tokens/s, `burst` tokens.
    """

    sequence: int
    rate: float
    rate_until: float
    safe_rate: float
    lease_until: float
    last_rate: float
    burst: float
    falls: tuple[tuple[float, float], ...] = ()

    def rate_at(self, now: float) -> float:
        if now >= self.rate_until:
            return self.safe_rate_at(now)
        rate = self.rate
        for at, fallen in self.falls:
            if now < at:
                break
            rate = fallen
        return rate

    def safe_rate_at(self, now: float) -> float:
        """What the client may use from `rate_until` on, seen from `now`."""
        return self.safe_rate if now < self.lease_until else self.last_rate

    def burst_at(self, now: float) -> float:
        """A full bucket can be emptied at any rate, 0 too."""
        return self.burst if now < self.lease_until or self.last_rate > 0 else 0.0

    def changes_after(self, now: float) -> float:
        """When it next falls by itself; infinite when never again."""
        moment = self.lease_until if now < self.lease_until else inf
        if now < self.rate_until < moment:
            moment = self.rate_until
        for at, _ in self.falls:
            if now < at < moment:
                return at
        return moment

    def lapsed(self) -> "Envelope":
        """What stays of it for good."""
        burst = self.burst if self.last_rate > 0.0 else 0.0
        return replace(self, rate=self.last_rate, safe_rate=self.last_rate, burst=burst, falls=())

    def cut(self, sequence: int, rate: float) -> "Envelope":
        """The same, nowhere above `rate`: what a recall leaves."""
        return replace(
            self,
            sequence=sequence,
            rate=min(self.rate, rate),
            safe_rate=min(self.safe_rate, rate),
            last_rate=min(self.last_rate, rate),
            falls=tuple((at, min(fallen, rate)) for at, fallen in self.falls),
        )


def joined(one: Envelope, other: Envelope, now: float) -> Envelope:
    """An envelope that lies on or above both from `now` on, and at `now` no higher: what has fallen stays down."""
    safe_rate = max(one.safe_rate_at(now), other.safe_rate_at(now))
    rate_until = max(one.rate_until, other.rate_until)
    moments = {at for each in (one, other) for at in (each.rate_until, *(at for at, _ in each.falls))}
    return Envelope(
        sequence=max(one.sequence, other.sequence),
        rate=max(one.rate_at(now), other.rate_at(now)),
        rate_until=rate_until,
        safe_rate=safe_rate,
        lease_until=max(one.lease_until, other.lease_until),
        last_rate=max(one.last_rate, other.last_rate),
        burst=max(one.burst_at(now), other.burst_at(now)),
        falls=tuple(
            (at, max(one.rate_at(at), other.rate_at(at), safe_rate)) for at in sorted(moments) if now < at < rate_until
        ),
    )


class Held(NamedTuple):
    """What is in a client's hands, or in those of all: tokens/s, tokens/s, tokens."""

    rate: float = 0.0
    safe_rate: float = 0.0
    burst: float = 0.0
