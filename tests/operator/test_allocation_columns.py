from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from forefill_operator.allocation import Claim, split
from forefill_operator.allocation_columns import FEW, Claims, split_columns, split_many

# Multiples of 1/8 are exact, and near enough to each other to tie.
AMOUNTS = st.integers(0, 80).map(lambda eighths: eighths / 8)
WEIGHTS = st.integers(1, 40).map(lambda eighths: eighths / 8)


@st.composite
def claims(draw: st.DrawFn) -> Claim:
    floor, ceiling = sorted([draw(AMOUNTS), draw(AMOUNTS)])
    ceiling = draw(st.sampled_from([ceiling, inf]))
    return Claim(draw(AMOUNTS), draw(AMOUNTS), draw(WEIGHTS), draw(st.sampled_from([0.0, floor])), ceiling)


def columns(rows: list[Claim]) -> Claims:
    numbers = [(row.request, row.risk, row.weight, row.floor, row.ceiling) for row in rows]
    return Claims(*np.array(numbers, float).reshape(-1, 5).T)


@given(st.integers(0, 2000).map(lambda eighths: eighths / 8), st.lists(claims(), min_size=1, max_size=40))
def test_many_at_once_get_what_each_would_get_by_itself(capacity: float, rows: list[Claim]) -> None:
    expected = split(capacity, rows)
    assert split_many(capacity, columns(rows)) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert split_columns(capacity, columns(rows)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_a_few_and_many_meet_at_their_border() -> None:
    rows = [Claim(float(number), risk=1.0 + number % 3) for number in range(FEW + 1)]
    for count in (FEW - 1, FEW, FEW + 1):
        capacity = 1.2 * sum(row.request for row in rows[:count])
        assert split_columns(capacity, columns(rows[:count])) == pytest.approx(split(capacity, rows[:count]))


@given(st.integers(1, 200).map(lambda eighths: eighths / 8), st.lists(claims(), min_size=1, max_size=6))
def test_a_shortage_agrees_with_a_linear_program(capacity: float, rows: list[Claim]) -> None:
    """Lexicographic max-min: raise the lowest level that can be raised, fix it, and go on."""
    floors = [min(row.floor, row.ceiling) for row in rows]
    requests = [min(max(row.request, floor), row.ceiling) for row, floor in zip(rows, floors, strict=True)]
    if sum(floors) >= capacity or sum(requests) < capacity:
        return
    expected = leveled(capacity, [row.weight for row in rows], floors, requests)
    assert split_many(capacity, columns(rows)) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def leveled(capacity: float, weights: list[float], floors: list[float], requests: list[float]) -> list[float]:
    count = len(weights)
    fixed: dict[int, float] = {}
    while len(fixed) < count:
        level, shares = raised(capacity, weights, floors, requests, fixed)
        for index in range(count):
            if index in fixed:
                continue
            stuck = min(requests[index], max(floors[index], level * weights[index]))
            if stuck >= requests[index] - 1e-9 or not can_rise(
                index, capacity, weights, floors, requests, fixed, level
            ):
                fixed[index] = stuck
        assert shares is not None
    return [fixed[index] for index in range(count)]


def raised(
    capacity: float, weights: list[float], floors: list[float], requests: list[float], fixed: dict[int, float]
) -> tuple[float, list[float]]:
    """The highest level that everybody not fixed can be at, as far as its request lets it."""
    free = [index for index in range(len(weights)) if index not in fixed]
    lowest_request = min(requests[index] / weights[index] for index in free)
    # Variables: the shares of those free, then the level.
    costs = [0.0] * len(free) + [-1.0]
    sums = [1.0] * len(free) + [0.0]
    below = [[-1.0 if other == place else 0.0 for other in range(len(free))] + [weights[index]]
             for place, index in enumerate(free)]  # fmt: skip
    bounds = [(floors[index], requests[index]) for index in free] + [(0.0, lowest_request)]
    limits = [capacity - sum(fixed.values())] + [0.0] * len(free)
    solved = linprog(costs, A_ub=[sums, *below], b_ub=limits, bounds=bounds, method="highs")
    assert solved.success, solved.message
    return float(solved.x[-1]), [float(share) for share in solved.x[:-1]]


def can_rise(
    index: int, capacity: float, weights: list[float], floors: list[float], requests: list[float],
    fixed: dict[int, float], level: float,
) -> bool:  # fmt: skip
    """While the others stay at the level, may this one have more?"""
    others = [
        fixed[other] if other in fixed else min(requests[other], max(floors[other], level * weights[other]))
        for other in range(len(weights))
        if other != index
    ]
    own = max(floors[index], level * weights[index])
    return own + 1e-7 < min(requests[index], capacity - sum(others))
