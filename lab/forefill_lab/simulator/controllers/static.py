"""Equal parts for everybody."""

from collections.abc import Sequence

from forefill_lab.simulator.controllers.base import Split


class Static(Split):
    """The capacity by the number of clients."""

    def shares(self, clients: Sequence[int], capacity: float) -> list[float]:
        return [capacity / len(clients)] * len(clients) if clients else []
