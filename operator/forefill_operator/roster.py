"""What plans read of all clients of one policy, in columns: a report writes one row, a plan reads all rows at once."""

from math import inf, nan

import numpy as np
from numpy.typing import NDArray

from forefill_operator.anomaly.finding import VERDICTS, Verdict

FIRST_ROWS = 16
_NUMBERS = {
    "request": 0.0,
    "reactive": 0.0,
    "spread": 0.0,
    "declared": 0.0,
    "waiting": 0.0,
    "spare": 0.0,
    "spared_at": 0.0,
    "heard_at": 0.0,
    "weight": 1.0,
    "granted": 0.0,
    "planned": nan,
    "offered": 0.0,
    "admitted": 0.0,
    "would_wait": 0.0,
    "would_refuse": 0.0,
    "latency": nan,
    "fresh_until": nan,
}


class Roster:
    """Rates are tokens/s, `latency` seconds (NaN: none), `verdict` an index into VERDICTS.

    `request` and `reactive` are without backlog: of that `waiting` tokens were there at `heard_at`, and `spare` tokens
    that the client could do without at `spared_at`.

    A client takes part in plans until `fresh_until`, monotonic seconds; `known` says whether it has said what it needs.
    `planned` is the rate that it is to get (NaN: it is in no plan), `granted` that of its newest grant. `offered` and
    `admitted` are of its last whole window, and so is what of it enforcement would have held up and turned away while
    the policy is observed.
    """

    __slots__ = ("_free", "group", "known", "rows", "uids", "verdict", *_NUMBERS)

    request: NDArray[np.float64]
    reactive: NDArray[np.float64]
    spread: NDArray[np.float64]
    declared: NDArray[np.float64]
    waiting: NDArray[np.float64]
    spare: NDArray[np.float64]
    spared_at: NDArray[np.float64]
    heard_at: NDArray[np.float64]
    weight: NDArray[np.float64]
    granted: NDArray[np.float64]
    planned: NDArray[np.float64]
    offered: NDArray[np.float64]
    admitted: NDArray[np.float64]
    would_wait: NDArray[np.float64]
    would_refuse: NDArray[np.float64]
    latency: NDArray[np.float64]
    fresh_until: NDArray[np.float64]

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self.uids: list[str] = [""] * FIRST_ROWS
        self._free = list(range(FIRST_ROWS - 1, -1, -1))
        for name, empty in _NUMBERS.items():
            setattr(self, name, np.full(FIRST_ROWS, empty))
        self.group = np.zeros(FIRST_ROWS, np.int32)
        self.verdict = np.zeros(FIRST_ROWS, np.int8)
        self.known = np.zeros(FIRST_ROWS, np.bool_)

    def row_of(self, pod_uid: str) -> int:
        """The client's row, a new one the first time."""
        row = self.rows.get(pod_uid)
        if row is None:
            if not self._free:
                self._grow()
            row = self.rows[pod_uid] = self._free.pop()
            self.uids[row] = pod_uid
            self.fresh_until[row] = -inf
        return row

    def remove(self, pod_uid: str) -> None:
        row = self.rows.pop(pod_uid, None)
        if row is None:
            return
        for name, empty in _NUMBERS.items():
            getattr(self, name)[row] = empty
        self.group[row], self.verdict[row], self.known[row] = 0, 0, False
        self.uids[row] = ""
        self._free.append(row)

    def judge(self, row: int, verdict: Verdict) -> None:
        self.verdict[row] = VERDICTS.index(verdict)

    def fresh(self, now: float) -> NDArray[np.intp]:
        """Rows of the clients that take part in a plan."""
        return np.flatnonzero(self.fresh_until > now)

    def in_plan(self) -> NDArray[np.intp]:
        """Rows of the clients that have been planned for."""
        return np.flatnonzero(self.planned >= 0.0)

    def backlog(self, rows: NDArray[np.intp], now: float) -> NDArray[np.float64]:
        """Tokens that may still wait: what was told, less what the rate has served since beyond the usual demand."""
        served = np.maximum(self.granted[rows] - self.request[rows], 0.0) * (now - self.heard_at[rows])
        return np.maximum(self.waiting[rows] - served, 0.0)

    def longest_queues(self, most: int, now: float) -> list[tuple[float, str]]:
        """Tokens that still wait and for whom, most first; so many at most."""
        rows = self.fresh(now)
        waiting = self.backlog(rows, now)
        longest = np.argsort(-waiting, kind="stable")[:most]
        return [(float(waiting[place]), self.uids[rows[place]]) for place in longest if waiting[place] > 0.0]

    def spare_at(self, rows: NDArray[np.intp], burst_seconds: float, now: float) -> NDArray[np.float64]:
        """Tokens that may be spare: what was told, and what the rate has brought since beyond the usual demand."""
        granted = self.granted[rows]
        earned = np.maximum(granted - self.request[rows], 0.0) * (now - self.spared_at[rows])
        return np.minimum(self.spare[rows] + earned, burst_seconds * granted)

    def spared(self, row: int, tokens: float, now: float) -> None:
        """So many are spare now."""
        self.spare[row], self.spared_at[row] = tokens, now

    def silent(self, now: float) -> list[str]:
        """Clients that have a row and take no part."""
        return [self.uids[row] for row in np.flatnonzero(self.fresh_until <= now).tolist()]

    def _grow(self) -> None:
        size = len(self.uids)
        for name, empty in _NUMBERS.items():
            setattr(self, name, np.concatenate([getattr(self, name), np.full(size, empty)]))
        for name in ("group", "verdict", "known"):
            column = getattr(self, name)
            setattr(self, name, np.concatenate([column, np.zeros(size, column.dtype)]))
        self.uids += [""] * size
        self._free.extend(range(2 * size - 1, size - 1, -1))
