"""Limiters that nobody divides anything among: each client adapts alone to how long the resource keeps it.

A client's limiter lets tokens into the one line at the resource, which serves them at the capacity, everybody in
proportion to what it has there. What lies in that line or before the limiter waits.
"""

from forefill_lab.simulator.controllers.base import Scene
from forefill_lab.simulator.flow import CRUMB, Flow
from forefill_sidecar.bucket import TokenBucket

ADAPT_SECONDS = 1.0
# What the resource takes for a request when nobody waits.
SERVICE_SECONDS = 0.1


class Limiter:
    """One client. `inside` counts its tokens in the resource's line, always its oldest ones; `rate` is in tokens/s."""

    def __init__(self, flow: Flow, rate: float) -> None:
        self.flow = flow
        self.bucket = TokenBucket(rate, 0.0, 0.0, flow.timeline.now)
        self.inside = 0.0
        self.was_limited = False

    def let_in(self, now: float) -> None:
        wanted = max(0.0, self.flow.waiting - self.inside)
        passing = min(wanted, max(0.0, self.bucket.tokens_at(now)))
        self.bucket.settle(now, passing)
        self.inside += passing
        self.was_limited = self.was_limited or wanted > passing + CRUMB


class Adaptive:
    """`adapt(limiter, seconds)` gives a limiter's next rate from how long the resource took, line and service."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.timeline = scene.timeline
        capacity = scene.capacity(0.0)
        self._bucket = TokenBucket(capacity, capacity * scene.depth_seconds, 0.0, 0.0)
        self._limiters: dict[int, Limiter] = {}
        self._busy: dict[int, Limiter] = {}
        self.timeline.later(ADAPT_SECONDS, self._adapt)

    def join(self, client: int) -> None:
        rate = self.scene.capacity(self.timeline.now) / len(self.scene.demand.clients)
        self._limiters[client] = Limiter(self.scene.flow(), rate)
        self._set(self._limiters[client], rate)

    def leave(self, client: int) -> None:
        self._set(self._limiters[client], 0.0)

    def arrive(self, client: int, tokens: float) -> None:
        limiter = self._busy[client] = self._limiters[client]
        limiter.flow.stand_in_line(self.timeline.now, tokens)

    def open(self) -> None:
        self._serve()
        for limiter in self._busy.values():
            limiter.flow.turn_away()

    def settle(self) -> None:
        self._serve()
        now = self.timeline.now
        capacity = self.scene.capacity(now)
        self._bucket.retune(now, capacity, capacity * self.scene.depth_seconds)
        for client, limiter in list(self._busy.items()):
            limiter.flow.serve(now)
            limiter.inside = min(limiter.inside, limiter.flow.waiting)
            if not limiter.flow.queue:
                limiter.inside = 0.0
                del self._busy[client]

    def _serve(self) -> None:
        now, bucket = self.timeline.now, self._bucket
        for limiter in self._busy.values():
            limiter.let_in(now)
        line = sum(limiter.inside for limiter in self._busy.values())
        available = bucket.tokens + bucket.fill_rate * (now - bucket.updated_at)
        given = max(0.0, min(line, available))
        bucket.tokens, bucket.updated_at = min(bucket.burst, available - given), now
        if given <= CRUMB:
            return
        for limiter in self._busy.values():
            tokens = given / line * limiter.inside
            limiter.inside -= tokens
            limiter.flow.be_served(now, tokens, bucket.fill_rate / line * limiter.flow.waiting)

    def _adapt(self) -> None:
        line = sum(limiter.inside for limiter in self._busy.values())
        seconds = SERVICE_SECONDS + line / max(self._bucket.fill_rate, CRUMB)
        for limiter in self._limiters.values():
            if limiter.bucket.fill_rate > 0.0:
                self._set(limiter, self.adapt(limiter, seconds))
            limiter.was_limited = False
        self.timeline.later(ADAPT_SECONDS, self._adapt)

    def adapt(self, limiter: Limiter, seconds: float) -> float:
        raise NotImplementedError

    def _set(self, limiter: Limiter, rate: float) -> None:
        limiter.bucket.retune(self.timeline.now, rate, rate * self.scene.depth_seconds)

    def flow(self, client: int) -> Flow:
        return self._limiters[client].flow

    def granted(self, client: int) -> float:
        return self._limiters[client].bucket.fill_rate

    def outlook(self, client: int) -> tuple[float, float, float]:
        return 0.0, 1.0, 1.0


class Aimd(Adaptive):
    """Adds a hundredth of an equal share a second while it binds, takes a tenth away while the resource is slow."""

    def adapt(self, limiter: Limiter, seconds: float) -> float:
        share = self._bucket.fill_rate / len(self.scene.demand.clients)
        rate = limiter.bucket.fill_rate
        if seconds > 2 * SERVICE_SECONDS:
            return max(0.9 * rate, 0.01 * share)
        return rate + 0.01 * share if limiter.was_limited else rate


class Gradient2(Adaptive):
    """Netflix's limit of concurrency, limit * clip(1.5 * long / short, .5, 1) + 4, smoothed by .2, as a rate."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._long = SERVICE_SECONDS
        self._limits: dict[int, float] = {}

    def adapt(self, limiter: Limiter, seconds: float) -> float:
        self._long += 2 / (600 + 1) / max(len(self._limits), 1) * (seconds - self._long)
        limit = self._limits.get(id(limiter), limiter.bucket.fill_rate * SERVICE_SECONDS)
        if limiter.was_limited or seconds > SERVICE_SECONDS + CRUMB:
            gradient = min(1.0, max(0.5, 1.5 * self._long / seconds))
            limit = 0.8 * limit + 0.2 * (limit * gradient + 4 * limiter.flow.unit)
        self._limits[id(limiter)] = limit
        return limit / seconds
