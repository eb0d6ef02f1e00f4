"""Exact weighted max-min fairness with floors and ceilings, and the surplus by uncertainty. Pure arithmetic.

Both divisions are one problem: find the level t at which the sum of clip(start + t * slope, low, high) is the capacity.
Cost O(n log n). Results do not depend on the order of the claims.
"""

from collections.abc import Sequence
from math import fsum, inf

from msgspec import Struct

# Parts smaller than this are rounding.
NEGLIGIBLE = 1e-12


class Claim(Struct, frozen=True, gc=False):
    """What one client may have of a capacity, tokens/s.

    It gets `floor` first, up to `request` by max-min in proportion to `weight` (> 0), and of a surplus in proportion
    to `risk`, never more than `ceiling`.
    """

    request: float
    risk: float = 0.0
    weight: float = 1.0
    floor: float = 0.0
    ceiling: float = inf


class _Line(Struct, frozen=True, gc=False):
    """The share of one client as the level t rises from 0: clip(start + t * slope, low, high)."""

    start: float
    slope: float
    low: float
    high: float

    def at(self, level: float) -> float:
        return min(max(self.start + level * self.slope, self.low), self.high)

    @property
    def leaves_low(self) -> float:
        return (self.low - self.start) / self.slope if self.slope > 0 else inf

    @property
    def reaches_high(self) -> float:
        return (self.high - self.start) / self.slope if self.slope > 0 else inf


def split(capacity: float, claims: Sequence[Claim]) -> list[float]:
    """Rates in the order of `claims`; their sum is min(capacity, sum of ceilings), within rounding and never above.

    Floors that exceed the capacity together are themselves divided by max-min.
    """
    floors = [min(claim.floor, claim.ceiling) for claim in claims]
    if fsum(floors) >= capacity:
        return _fill(capacity, [_Line(0.0, c.weight, 0.0, floor) for c, floor in zip(claims, floors, strict=True)])
    requests = [min(max(c.request, floor), c.ceiling) for c, floor in zip(claims, floors, strict=True)]
    if fsum(requests) >= capacity:
        bounds = zip(claims, floors, requests, strict=True)
        return _fill(capacity, [_Line(0.0, c.weight, low, high) for c, low, high in bounds])
    return _hand_out_surplus(capacity, claims, requests)


def _hand_out_surplus(capacity: float, claims: Sequence[Claim], requests: list[float]) -> list[float]:
    """Equal risk: every client's margin over its request is the same multiple of its `risk`."""
    risks = _relative([claim.risk for claim in claims]) or [claim.weight for claim in claims]
    rows = zip(claims, requests, risks, strict=True)
    rates = _fill(capacity, [_Line(request, risk, request, c.ceiling) for c, request, risk in rows])
    rest = capacity - fsum(rates)
    if rest <= NEGLIGIBLE * capacity:
        return rates
    # Every client with a risk is at its ceiling: those without take the rest by weight.
    lines = zip(claims, rates, strict=True)
    return _fill(capacity, [_Line(rate, c.weight, rate, c.ceiling) for c, rate in lines])


def _relative(risks: list[float]) -> list[float]:
    """Risks as parts of the largest, what is negligible beside it as 0; empty when nobody has any."""
    largest = max(risks, default=0.0)
    return [risk / largest if risk > NEGLIGIBLE * largest else 0.0 for risk in risks] if largest > 0 else []


def _fill(capacity: float, lines: Sequence[_Line]) -> list[float]:
    """The shares at the level where they sum to `capacity`, or the highest possible ones where they can't."""
    level = _level(capacity, lines)
    return _not_above(capacity, [line.at(level) if line.slope > 0 else line.low for line in lines])


def _level(capacity: float, lines: Sequence[_Line]) -> float:
    """Sweep the sorted breakpoints to find the segment, then solve in it from scratch: no rounding accumulates."""
    events = [(line.leaves_low, line.slope) for line in lines if line.slope > 0]
    events += [(line.reaches_high, -line.slope) for line in lines if line.slope > 0 and line.high < inf]
    events.sort()
    total, slope, at = fsum(line.low for line in lines), 0.0, 0.0
    for moment, change in events:
        if total + slope * (moment - at) >= capacity:
            break
        total += slope * (moment - at)
        slope, at = slope + change, moment
    else:
        moment = inf
    return _solve(capacity, lines, at, moment)


def _solve(capacity: float, lines: Sequence[_Line], begin: float, end: float) -> float:
    """The level between the neighbouring breakpoints `begin` and `end` at which the shares sum to `capacity`."""
    moving, still = [], []
    for line in lines:
        if line.leaves_low <= begin and line.reaches_high > begin:
            moving.append(line)
        else:
            still.append(line.at(begin) if line.slope > 0 else line.low)
    slope = fsum(line.slope for line in moving)
    if slope <= 0:
        return begin
    level = (capacity - fsum(still) - fsum(line.start for line in moving)) / slope
    return min(max(level, begin), end)


def _not_above(capacity: float, shares: list[float]) -> list[float]:
    """Rounding may leave the sum a few units in the last place too high; the promise is never to exceed."""
    total = fsum(shares)
    if total <= capacity:
        return shares
    scale = scaled_down(capacity, total)
    return [share * scale for share in shares]


def scaled_down(capacity: float, total: float) -> float:
    """A factor that takes `total` just below `capacity`."""
    return capacity / total * (1 - 1e-15)
