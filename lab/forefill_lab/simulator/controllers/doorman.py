"""Doorman's FAIR_SHARE, as its documentation describes the algorithm: leases, and two rounds of sharing."""

from collections.abc import Sequence

from forefill_lab.simulator.controllers.base import Scene, Split


class Doorman(Split):
    """Everybody wants what it offered in the last window and its backlog; nothing is given that nobody wants.

    Each client asks at its own moment, once an interval, and is answered with its fair share as far as the leases of
    the others leave room: what one gives up another gets at its next turn.
    """

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._wants: dict[int, float] = {}
        self._has: dict[int, float] = {}

    def _first(self) -> None:
        return

    def join(self, client: int) -> None:
        self._flows[client] = self._all[client] = self.scene.flow()
        self._wants[client] = self.scene.capacity(self.timeline.now) / len(self.scene.demand.clients)
        # Turns are spread over the interval by the golden ratio, evenly for any number of clients.
        self.timeline.later(self.scene.conditions.delay(client), lambda: self._answer(client))
        self.timeline.later((0.618034 * (client + 1)) % 1.0 * self.scene.interval, lambda: self._ask(client))

    def left(self, client: int) -> None:
        self._wants.pop(client)
        self._has.pop(client, None)

    def outlook(self, client: int) -> tuple[float, float, float]:
        return self._wants.get(client, 0.0), 1.0, 1.0

    def _ask(self, client: int) -> None:
        flow = self._flows.get(client)
        if flow is None:
            return
        now = self.timeline.now
        flow.serve(now)
        window = flow.meter.close(now)
        seconds = window.window_seconds or self.scene.interval
        offered = self.scene.bent_by(client, self._windows) * window.offered / seconds
        wants = offered + window.backlog / self.scene.interval

        def arrive() -> None:
            self._wants[client] = wants
            self._answer(client)

        self.timeline.later(self.scene.conditions.delay(client), arrive)
        self.timeline.later(self.scene.interval, lambda: self._ask(client))

    def _answer(self, client: int) -> None:
        if client not in self._flows:
            return
        capacity = self.scene.capacity(self.timeline.now)
        clients = list(self._wants)
        fair = fair_share(capacity, [self._wants[each] for each in clients])[clients.index(client)]
        others = sum(rate for each, rate in self._has.items() if each != client)
        rate = self._has[client] = max(0.0, min(fair, capacity - others))
        depth = capacity * self.scene.depth_seconds
        self.timeline.later(
            self.scene.conditions.delay(client), lambda: self._run_at(client, rate, depth * rate / capacity)
        )

    def _run_at(self, client: int, rate: float, burst: float) -> None:
        if flow := self._flows.get(client):
            flow.retune(self.timeline.now, rate, burst)

    def _apply(self) -> None:
        return


def fair_share(capacity: float, wants: Sequence[float]) -> list[float]:
    """Equal shares; what some leave of theirs goes in equal parts to those who want more, and once more.

    Two rounds are not enough for an exact max-min: what is left after them is not handed out.
    """
    if sum(wants) <= capacity:
        return list(wants)
    equal = capacity / len(wants)
    shares = [min(want, equal) for want in wants]
    for _ in range(2):
        left = capacity - sum(shares)
        short = [index for index, want in enumerate(wants) if want > shares[index]]
        if left <= 0.0 or not short:
            break
        for index in short:
            shares[index] = min(wants[index], shares[index] + left / len(short))
    return shares
