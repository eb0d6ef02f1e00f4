"""From whom to take at once what an early report needs. Pure.

A recall is worth a message and an acknowledgement, so that only those are asked who have most to give; the others learn
of their new rates with their next reports.
"""

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from forefill_operator.allocation_columns import Column

MOST_RECALLED = 3
# Where nobody has much to give, the next are asked when these have acknowledged: twice as many, so many times for one
# report.
MOST_ROUNDS = 5

# Clients that fell behind a new plan are lined up for room: so many at once, and if they lack this part of their rate.
MOST_RAISED, SMALLEST_LACK = 8, 0.02


# Of all clients only so many are ever asked between two plans.
MOST_LINED_UP = 512


class Cut(Struct, frozen=True, gc=False):
    """The client in this row is to run at `rate`, tokens/s."""

    row: int
    rate: float


def furthest_behind(granted: Column, planned: Column, rows: NDArray[np.intp]) -> list[int]:
    """Rows of those who lack most of what is planned for them."""
    lack = planned - granted
    largest = np.argsort(-lack, kind="stable")[:MOST_RAISED]
    return [int(rows[place]) for place in largest.tolist() if lack[place] > SMALLEST_LACK * planned[place]]


def most_slack(granted: Column, planned: Column) -> NDArray[np.intp]:
    """Places of those who hold most above what is planned for them, in their order."""
    slack = granted - planned
    if len(slack) <= MOST_LINED_UP:
        return np.arange(len(slack))
    return np.sort(np.argpartition(-slack, MOST_LINED_UP)[:MOST_LINED_UP])


def cuts(
    granted: Column, planned: Column, rows: NDArray[np.intp], needed: float, most: int = MOST_RECALLED
) -> list[Cut]:
    """Down to what is planned for them, largest slack first, until `needed` tokens/s are free or nobody has more.

    `granted` and `planned` are in the order of `rows`.
    """
    slack = granted - planned
    largest = np.argsort(-slack, kind="stable")[:most]
    chosen: list[Cut] = []
    for place in largest.tolist():
        spare = float(slack[place])
        if needed <= 0.0 or spare <= 0.0:
            break
        taken = min(spare, needed)
        chosen.append(Cut(int(rows[place]), float(granted[place]) - taken))
        needed -= taken
    return chosen
