"""Sums of columns that are exact whatever the order of their rows."""

from math import frexp, fsum, ldexp

import numpy as np
from numpy.typing import NDArray

# Below this many rows plain Python is faster than numpy's overhead.
FEW = 400


def total(column: NDArray[np.float64]) -> float:
    """The exact sum, rounded once, as `math.fsum` has it.

    Error-free splitting (Rump, Ogita and Oishi 2008, ExtractVector): what lies above a common bit adds up without
    rounding, then what lies above the next one, until nothing is left.
    """
    largest = _largest(column) if len(column) >= FEW else 0.0
    bits = (len(column) + 1).bit_length()
    if not 0.0 < largest < ldexp(1.0, 1022 - bits):
        return fsum(column.tolist())
    parts, rest = [], column
    while largest > 0.0:
        unit = ldexp(1.0, frexp(largest)[1] + bits)
        high = (rest + unit) - unit
        parts.append(float(high.sum()))
        rest = rest - high
        largest = _largest(rest)
    return fsum(parts)


def _largest(column: NDArray[np.float64]) -> float:
    """NaN where there is one."""
    return float(np.abs(column).max())
