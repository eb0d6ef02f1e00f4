"""Max-min by what was: the last window, or its smoothed level with headroom for how much it varies."""

from collections.abc import Sequence

from forefill_lab.simulator.controllers.base import Scene, Split
from forefill_operator import allocation

PACE = 0.3


class MaxMin(Split):
    """Everybody asks for what it offered in the last window and for its backlog; a surplus is shared equally."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._asked: dict[int, float] = {}

    def left(self, client: int) -> None:
        self._asked.pop(client, None)

    def learn(self, client: int, offered: float, backlog: float) -> None:
        self._asked[client] = offered + backlog / self.scene.interval

    def outlook(self, client: int) -> tuple[float, float, float]:
        return self._asked.get(client, 0.0), 1.0, 1.0

    def shares(self, clients: Sequence[int], capacity: float) -> list[float]:
        share = capacity / max(len(clients), 1)
        return allocation.split(capacity, [allocation.Claim(self._asked.get(client, share)) for client in clients])


class Ewma(Split):
    """Asks for the EWMA of its offered demand and its backlog; surplus goes by the EWMA of the absolute deviation.

    The honest baseline: what anybody would build who does not forecast.
    """

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._levels: dict[int, float] = {}
        self._deviations: dict[int, float] = {}
        self._backlogs: dict[int, float] = {}

    def left(self, client: int) -> None:
        for kept in (self._levels, self._deviations, self._backlogs):
            kept.pop(client, None)

    def learn(self, client: int, offered: float, backlog: float) -> None:
        level = self._levels.get(client)
        if level is None:
            self._levels[client], self._deviations[client] = offered, offered / 2
        else:
            missed = offered - level
            self._levels[client] = level + PACE * missed
            self._deviations[client] += PACE * (abs(missed) - self._deviations[client])
        self._backlogs[client] = backlog

    def outlook(self, client: int) -> tuple[float, float, float]:
        return self._levels.get(client, 0.0), 1.0, 1.0

    def shares(self, clients: Sequence[int], capacity: float) -> list[float]:
        return allocation.split(capacity, [self._claim(client, capacity / len(clients)) for client in clients])

    def _claim(self, client: int, share: float) -> allocation.Claim:
        if client not in self._levels:
            return allocation.Claim(share, risk=0.05 * share)
        request = self._levels[client] + self._backlogs[client] / self.scene.interval
        return allocation.Claim(request, risk=self._deviations[client] + 0.01 * share)
