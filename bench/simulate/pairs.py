"""Figures over seeds: means, and intervals of paired differences. Pure."""

from collections.abc import Sequence
from math import sqrt

# Two-sided 95 % points of Student's t by degrees of freedom; beyond them the normal one will do.
STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10,
           2.09, 2.09, 2.08, 2.07, 2.07, 2.06, 2.06, 2.06, 2.05, 2.05, 2.05, 2.04)  # fmt: skip


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def half_width(values: Sequence[float]) -> float:
    """Half of the 95 % interval of the mean; infinite for one value."""
    count = len(values)
    if count < 2:
        return float("inf")
    centre = mean(values)
    variance = sum((value - centre) ** 2 for value in values) / (count - 1)
    factor = STUDENT[count - 2] if count - 2 < len(STUDENT) else 1.97
    return factor * sqrt(variance / count)


def closed(base: Sequence[float], reached: Sequence[float], bound: Sequence[float]) -> tuple[float, float]:
    """Which part of the gap from `base` to `bound` is closed, over all seeds, and half its 95 % interval.

    A ratio of means; its interval is that of the linearised ratio, pairing the seeds.
    """
    gap = mean(base) - mean(bound)
    if gap <= 0.0:
        return float("nan"), float("nan")
    part = (mean(base) - mean(reached)) / gap
    residuals = [(b - r - part * (b - o)) / gap for b, r, o in zip(base, reached, bound, strict=True)]
    return part, half_width(residuals)
