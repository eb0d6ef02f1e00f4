"""What an operator recorded of real clients, as a demand: had this policy been enforced yesterday. Pure."""

from collections.abc import Iterable, Sequence
from math import ceil

import numpy as np

from forefill_lab.simulator.demand import LARGEST, Demand, Unusable, number, rows
from forefill_lab.simulator.totals import Totals
from forefill_operator.recorder import COLUMNS

STEP_SECONDS = 1.0
# Longer records of many clients are replayed in steps of their windows.
MOST_CELLS = 30_000_000

MOST_NAMED = 5

Entry = tuple[float, str, float, float]


def read(lines: Iterable[str], policy: str) -> Demand:
    """The demand for `policy` (NAMESPACE/NAME) that was recorded. A window's tokens are spread evenly over it.

    Raises Unusable.
    """
    entries: list[Entry] = []
    policies: set[str] = set()
    for line, (time, name, client, seconds, offered, *_) in rows(lines, COLUMNS):
        policies.add(name)
        if name == policy:
            window = number(line, "window_seconds", seconds)
            entries.append((number(line, "time", time, -LARGEST), client, window, number(line, "offered", offered)))
    if not entries:
        others = ", ".join(sorted(policies)) or "none"
        raise Unusable(f"nothing was recorded of policy {policy}; there are records of {others}")
    return _demand(entries)


def _demand(entries: Sequence[Entry]) -> Demand:
    begin = min(time - seconds for time, _, seconds, _ in entries)
    length = max(time for time, *_ in entries) - begin
    clients = list(dict.fromkeys(client for _, client, *_ in entries))
    step = STEP_SECONDS
    if length / step * len(clients) > MOST_CELLS:
        step = max(STEP_SECONDS, float(np.median([seconds for _, _, seconds, _ in entries])))
    tokens = np.zeros((max(2, ceil(length / step)), len(clients)))
    joins, leaves = [len(tokens)] * len(clients), [0] * len(clients)
    places = {client: index for index, client in enumerate(clients)}
    for time, client, seconds, offered in entries:
        first, last = _ticks(time - seconds - begin, time - begin, step, len(tokens))
        index = places[client]
        tokens[first:last, index] += offered / (last - first)
        joins[index], leaves[index] = min(joins[index], first), max(leaves[index], last - 1)
    return Demand(begin, step, clients, tokens, joins, leaves)


def _ticks(start: float, end: float, step: float, count: int) -> tuple[int, int]:
    """The ticks that a window covers, at least one."""
    first = min(max(0, int(start / step)), count - 1)
    return first, max(first + 1, min(round(end / step), count))


def statement(policy: str, totals: Totals, lateness: Sequence[tuple[str, float]]) -> str:
    """What enforcement would have done, as a sentence or two."""
    refused = totals.dropped / totals.offered if totals.offered else 0.0
    said = (
        f"Had {policy} been enforced, {max(0.0, totals.late_share - refused):.2%} of {totals.offered:.6g} tokens would "
        f"have waited and {refused:.2%} would have been refused."
    )
    worst = [f"{name} ({share:.1%} of its own)" for name, share in lateness[:MOST_NAMED] if share > 0.0]
    return f"{said} Most of them: {', '.join(worst)}." if worst else said
