"""The divisions of `allocation` for many clients at once, on columns of numbers. Same problem, same results.

Sorting costs O(n log n), the rest a few passes. Totals are summed exactly, so the order of rows changes nothing.
"""

from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from forefill_operator.allocation import NEGLIGIBLE, Claim, scaled_down, split
from forefill_operator.exact import total

Column = NDArray[np.float64]

# Below this many rows plain Python is faster than numpy's overhead.
FEW = 24


class Lines(NamedTuple):
    """Shares as a level rises from 0: clip(start + level * slope, low, high), or low where nothing moves."""

    start: Column
    slope: Column
    low: Column
    high: Column

    def at(self, level: float) -> Column:
        shares = np.minimum(np.maximum(self.start + level * self.slope, self.low), self.high)
        return np.where(self.slope > 0.0, shares, self.low)


class Claims(NamedTuple):
    """A row a client; see `allocation.Claim`."""

    request: Column
    risk: Column
    weight: Column
    floor: Column
    ceiling: Column

    def rows(self) -> list[Claim]:
        return [Claim(*row) for row in zip(*(column.tolist() for column in self), strict=True)]


def split_columns(capacity: float, claims: Claims) -> Column:
    """As `allocation.split`."""
    if len(claims.request) < FEW:
        return np.array(split(capacity, claims.rows()))
    return split_many(capacity, claims)


def split_many(capacity: float, claims: Claims) -> Column:
    floors = np.minimum(claims.floor, claims.ceiling)
    zeros = np.zeros_like(floors)
    if total(floors) >= capacity:
        return _fill(capacity, zeros, claims.weight, zeros, floors)
    requests = np.minimum(np.maximum(claims.request, floors), claims.ceiling)
    if total(requests) >= capacity:
        return _fill(capacity, zeros, claims.weight, floors, requests)
    return _hand_out_surplus(capacity, claims, requests)


def _hand_out_surplus(capacity: float, claims: Claims, requests: Column) -> Column:
    largest = float(claims.risk.max(initial=0.0))
    if largest > 0.0:
        risks = np.where(claims.risk > NEGLIGIBLE * largest, claims.risk / largest, 0.0)
    else:
        risks = claims.weight
    rates = _fill(capacity, requests, risks, requests, claims.ceiling)
    if capacity - total(rates) <= NEGLIGIBLE * capacity:
        return rates
    return _fill(capacity, rates, claims.weight, rates, claims.ceiling)


def _fill(capacity: float, start: Column, slope: Column, low: Column, high: Column) -> Column:
    moves = slope > 0.0
    safe = np.where(moves, slope, 1.0)
    leaves = np.where(moves, (low - start) / safe, inf)
    reaches = np.where(moves, (high - start) / safe, inf)
    lines = Lines(start, slope, low, high)
    shares = lines.at(_level(capacity, lines, leaves, reaches))
    sum_of_shares = total(shares)
    return shares if sum_of_shares <= capacity else shares * scaled_down(capacity, sum_of_shares)


def _level(capacity: float, lines: Lines, leaves: Column, reaches: Column) -> float:
    moves = lines.slope > 0.0
    later, ends = moves & (leaves > 0.0), moves & (reaches < inf)
    moments = np.concatenate([leaves[later], reaches[ends]])
    changes = np.concatenate([lines.slope[later], -lines.slope[ends]])
    order = _in_order(moments, changes)
    at_first = total(lines.slope[moves & ~later])
    begin, end = _segment(capacity - total(lines.low), at_first, moments[order], changes[order])
    moving = moves & (leaves <= begin) & (reaches > begin)
    rising = total(lines.slope[moving])
    if rising <= 0.0:
        return begin
    still = total(lines.at(begin)[~moving])
    level = (capacity - still - total(lines.start[moving])) / rising
    return min(max(level, begin), end)


def _in_order(moments: Column, changes: Column) -> NDArray[np.intp]:
    """By moment; changes of one moment by their size, so that sums don't depend on the order of rows."""
    order = np.argsort(moments)
    ordered = moments[order]
    if (ordered[1:] == ordered[:-1]).any():
        return np.lexsort((changes, moments))
    return order


def _segment(wanted: float, slope: float, moments: Column, changes: Column) -> tuple[float, float]:
    """The neighbouring breakpoints between which the shares have risen by `wanted`; they begin to rise by `slope`."""
    if not len(moments):
        return 0.0, inf
    slopes = slope + np.concatenate([[0.0], np.cumsum(changes)[:-1]])
    risen = np.cumsum(slopes * np.diff(moments, prepend=0.0))
    reached = np.flatnonzero(risen >= wanted)
    if not len(reached):
        return float(moments[-1]), inf
    first = int(reached[0])
    return (float(moments[first - 1]) if first else 0.0), float(moments[first])
