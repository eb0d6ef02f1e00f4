"""One bucket for everybody: the bound that a split tries to reach."""

from forefill_lab.simulator.controllers.base import Scene
from forefill_lab.simulator.flow import CRUMB, Flow
from forefill_sidecar.bucket import TokenBucket


class Central:
    """First come, first served across all clients; those of one tick share what there is by what they asked for."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.timeline = scene.timeline
        capacity = scene.capacity(0.0)
        self._bucket = TokenBucket(capacity, capacity * scene.depth_seconds, 0.0, 0.0)
        self._flows: dict[int, Flow] = {}
        # Clients with something in line, in the order of their indices.
        self._waiting: dict[int, Flow] = {}
        self._served: dict[int, float] = {}
        self._drain = 0.0
        self._served_in_all = 0.0

    def join(self, client: int) -> None:
        self._flows[client] = self.scene.flow()

    def leave(self, client: int) -> None:
        return

    def arrive(self, client: int, tokens: float) -> None:
        self._flows[client].stand_in_line(self.timeline.now, tokens)
        self._waiting[client] = self._flows[client]

    def open(self) -> None:
        self._served = {}
        self._hand_out()
        for flow in self._waiting.values():
            flow.turn_away()

    def settle(self) -> None:
        self._hand_out()
        now = self.timeline.now
        capacity = self.scene.capacity(now)
        self._bucket.retune(now, capacity, capacity * self.scene.depth_seconds)
        for client, flow in list(self._waiting.items()):
            flow.serve(now)
            if not flow.queue:
                del self._waiting[client]
        self._served_in_all = sum(self._served.values())

    def _hand_out(self) -> None:
        """What the bucket has and has earned, oldest tokens first. While somebody waits nothing runs over."""
        now, bucket = self.timeline.now, self._bucket
        total = sum(flow.waiting for flow in self._waiting.values())
        # Everybody's tokens drain together: each line as fast as its part of what waits.
        self._drain = bucket.fill_rate / total if total > 0.0 else 0.0
        available = bucket.tokens + bucket.fill_rate * (now - bucket.updated_at)
        given = max(0.0, min(total, available))
        bucket.tokens, bucket.updated_at = min(bucket.burst, available - given), now
        while given > CRUMB and self._waiting:
            given -= self._serve_oldest(now, given)

    def _serve_oldest(self, now: float, given: float) -> float:
        oldest = min(flow.queue[0].tick for flow in self._waiting.values())
        heads = {c: flow for c, flow in self._waiting.items() if flow.queue[0].tick == oldest}
        asked = sum(flow.queue[0].tokens for flow in heads.values())
        part = min(1.0, given / asked)
        for client, flow in heads.items():
            tokens = part * flow.queue[0].tokens
            self._served[client] = self._served.get(client, 0.0) + tokens
            flow.be_served(now, tokens, self._drain * flow.waiting)
            if not flow.queue:
                del self._waiting[client]
        return part * asked

    def flow(self, client: int) -> Flow:
        return self._flows[client]

    def granted(self, client: int) -> float:
        """The client's part of the fill rate, by what was served in the tick."""
        total = self._served_in_all
        return self._bucket.fill_rate * self._served.get(client, 0.0) / total if total > 0.0 else 0.0

    def outlook(self, client: int) -> tuple[float, float, float]:
        return 0.0, 1.0, 1.0
