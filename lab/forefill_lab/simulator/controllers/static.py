"""Fixed parts, whatever is asked for."""

from collections.abc import Sequence

from forefill_lab.simulator.controllers.base import Scene, Split


class Static(Split):
    """The capacity by the number of clients."""

    def shares(self, clients: Sequence[int], capacity: float) -> list[float]:
        return [capacity / len(clients)] * len(clients) if clients else []


class Weighted(Split):
    """By each client's mean over the whole demand: what somebody would set who knew it beforehand."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._means = scene.demand.tokens.mean(axis=0).tolist()

    def shares(self, clients: Sequence[int], capacity: float) -> list[float]:
        total = sum(self._means[client] for client in clients)
        if total <= 0.0:
            return [capacity / len(clients)] * len(clients) if clients else []
        return [capacity * self._means[client] / total for client in clients]
