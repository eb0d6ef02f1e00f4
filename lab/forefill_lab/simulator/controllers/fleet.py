"""Forefill itself on a virtual clock: the operator's Controller, and a sidecar's agent for every client."""

import random
from collections.abc import Callable

import msgspec

from forefill_lab.simulator.conditions import Restart
from forefill_lab.simulator.controllers import pod as pods
from forefill_lab.simulator.controllers.base import Scene
from forefill_lab.simulator.controllers.pod import Pod
from forefill_lab.simulator.controllers.streams import Stream, Streams
from forefill_lab.simulator.expect import Declaration
from forefill_lab.simulator.flow import Flow
from forefill_lab.simulator.gate import FlowGate
from forefill_operator.controller import TICK_SECONDS, Controller, Deliveries
from forefill_operator.policy import TokenPolicy
from forefill_protocol import codec, messages
from forefill_sidecar.agent import Agent

# One message in so many travels as the bytes it would be on the wire.
ENCODED_MESSAGES = 101
# Agents of clients that ask for nothing look at their window in every so many ticks.
IDLE_LOOK_TICKS = 4

MakeOperator = Callable[[bool], Controller]


def new_operator(first_start: bool) -> Controller:
    return Controller(first_start=first_start)


class Fleet:
    """`make_operator(first_start)` builds an operator, at the beginning and after each restart."""

    def __init__(self, scene: Scene, make_operator: MakeOperator = new_operator) -> None:
        self.scene = scene
        self.timeline = scene.timeline
        self.policy = _with_capacity(scene.policy, scene.capacity(0.0), 0)
        self.operator: Controller | None = make_operator(True)
        self.pods: dict[str, Pod] = {}
        self._make_operator = make_operator
        self._by_index: dict[int, Pod] = {}
        self._busy: set[str] = set()
        self._chance = random.Random(scene.seed)
        self._streams = Streams(scene.timeline, scene.conditions, self._chance)
        self._messages = 0
        for time in scene.capacity.times:
            self.timeline.at(time, self._put_policy)
        for restart in scene.conditions.restarts:
            self.timeline.at(restart.at, lambda restart=restart: self._restart(restart))  # type: ignore[misc]
        for declaration in scene.declarations:
            self.timeline.at(declaration.known_at, lambda each=declaration: self._declare(each))  # type: ignore[misc]
        self.timeline.at(0.0, self._tick)

    # What the run calls

    def join(self, client: int) -> None:
        pod = pods.build(client, self.scene, self.policy, self._chance)
        lie = self.scene.lies.get(client)
        pod.agent = Agent(
            boot_id=f"boot-{client}",
            software="simulator",
            members=[pod.member],
            send=lambda message: self._up(pod, lie.tell(message) if lie else message),
            clock=pod.flow.clock,
        )
        pod.stream = Stream(self.scene.conditions.delay(client), lambda: self._connect(pod))
        self.pods[pod.client.pod_uid] = self._by_index[client] = pod
        if self.operator is not None:
            self._connect(pod)
        self._wake(pod)

    def leave(self, client: int) -> None:
        """The sidecar's last words; nothing is served any more."""
        pod = self._by_index[client]
        pod.agent.report_now()
        self._up(pod, messages.Goodbye(reason="the pod ends"))
        del self.pods[pod.client.pod_uid]
        pod.gate.retune(pod.flow.clock(), 0.0, 0.0)

    def arrive(self, client: int, tokens: float) -> None:
        pod = self._by_index[client]
        pod.flow.arrive(pod.flow.clock(), tokens)
        self._busy.add(pod.client.pod_uid)

    def open(self) -> None:
        """Agents look whether reality has left their forecast, as they do once a second and when requests wait."""
        busy, turn = self._busy, self.timeline.tick % IDLE_LOOK_TICKS
        for uid, pod in self.pods.items():
            if uid in busy or pod.index % IDLE_LOOK_TICKS == turn:
                pod.agent.look(pod.flow.clock())
        self._busy = {uid for uid in self._busy if uid in self.pods and self.pods[uid].flow.queue}

    def settle(self) -> None:
        return

    def flow(self, client: int) -> Flow:
        return self._by_index[client].flow

    def gate(self, client: int) -> FlowGate:
        return self._by_index[client].gate

    def granted(self, client: int) -> float:
        return self._by_index[client].flow.bucket.fill_rate

    def outlook(self, client: int) -> tuple[float, float, float]:
        pod = self._by_index[client]
        if not pod.has_outlook():
            pod.look_out(self._trust(pod))
        return pod.outlook

    def _trust(self, pod: Pod) -> float:
        book = self.operator.books.get(self.policy.key) if self.operator else None
        member = book.members.get(pod.client.pod_uid) if book else None
        return member.appraisal.trust if member and member.appraisal else 1.0

    # Pods

    def _wake(self, pod: Pod) -> None:
        """What `Agent.run` does when its time has come."""
        now = pod.flow.clock()
        pod.flow.serve(now)
        pod.agent.step(now)
        self._set_alarm(pod)

    def _set_alarm(self, pod: Pod) -> None:
        now = self.timeline.now
        at = max(now, now + (pod.agent.next_moment() - pod.flow.clock()) / pod.flow.drift)
        if at != pod.wakes_at:
            pod.wakes_at = at
            # A little later than the moment: clocks are compared in floating point.
            self.timeline.at(at + 1e-6, lambda: self._alarm(pod, at))

    def _alarm(self, pod: Pod, at: float) -> None:
        if pod.wakes_at == at and pod.client.pod_uid in self.pods:
            pod.wakes_at = float("inf")
            self._wake(pod)

    def _declare(self, declaration: Declaration) -> None:
        """What `POST /v1/expect` does."""
        pod = self._by_index.get(declaration.client)
        if pod is not None and pod.client.pod_uid in self.pods:
            after = declaration.starts_at - self.timeline.now
            pod.expectations.declare(pod.flow.clock(), after, declaration.seconds, declaration.tokens)
            pod.agent.look(pod.flow.clock())

    # Messages

    def _connect(self, pod: Pod) -> None:
        if pod.client.pod_uid in self.pods:
            pod.stream.open()
            self._up(pod, pod.agent.hello())

    def _up(self, pod: Pod, message: messages.Up) -> bool:
        if not pod.stream.is_open:
            return False
        heard = codec.decode_up(codec.encode(message)) if self._is_encoded() else message
        self._send(pod, lambda: self._deliver(self._hear(pod, heard)))
        return True

    def _hear(self, pod: Pod, message: messages.Up) -> Deliveries:
        operator, uid, now = self.operator, pod.client.pod_uid, self.timeline.now
        if operator is None:
            return []
        if isinstance(message, messages.Report):
            return operator.report(pod.client, message, now)
        if isinstance(message, messages.Ack):
            return operator.ack(uid, message, now)
        if isinstance(message, messages.Hello):
            pod.stream.has_greeted = True
            return operator.hello(pod.client, message, now)
        return operator.goodbye(uid, now) if isinstance(message, messages.Goodbye) else []

    def _deliver(self, deliveries: Deliveries) -> None:
        for uid, message in deliveries:
            pod = self.pods.get(uid)
            if pod is not None and pod.stream.has_greeted:
                self._down(pod, codec.decode_down(codec.encode(message)) if self._is_encoded() else message)

    def _down(self, pod: Pod, message: messages.Down) -> None:
        def arrive() -> None:
            if pod.client.pod_uid in self.pods:
                pod.flow.serve(pod.flow.clock())
                pod.agent.receive(message)
                pod.agent.look(pod.flow.clock())
                self._set_alarm(pod)

        self._send(pod, arrive)

    def _send(self, pod: Pod, arrive: Callable[[], None]) -> None:
        self._streams.send(pod.stream, arrive, lambda: self._noticed(pod))

    def _noticed(self, pod: Pod) -> None:
        if self.operator is not None:
            self.operator.disconnected(pod.client.pod_uid, self.timeline.now)

    def _is_encoded(self) -> bool:
        self._messages += 1
        return self._messages % ENCODED_MESSAGES == 1

    # The operator

    def _tick(self) -> None:
        if self.operator is not None:
            self._deliver(self.operator.tick(self.timeline.now))
        self.timeline.later(TICK_SECONDS, self._tick)

    def _put_policy(self) -> None:
        now = self.timeline.now
        self.policy = _with_capacity(self.scene.policy, self.scene.capacity(now), self.policy.generation + 1)
        if self.operator is not None:
            self._deliver(self.operator.put_policy(self.policy, now))

    def _restart(self, restart: Restart) -> None:
        """All streams break, and what was known is lost."""
        self.operator = None
        for pod in self.pods.values():
            pod.stream.close()
        self.timeline.later(restart.away_seconds, self._come_back)

    def _come_back(self) -> None:
        self.operator = self._make_operator(False)
        self._deliver(self.operator.put_policy(self.policy, self.timeline.now))
        for pod in self.pods.values():
            self._streams.reopen_soon(pod.stream)


def _with_capacity(policy: TokenPolicy, capacity: float, generation: int) -> TokenPolicy:
    """The policy with a fill rate scaled to this maximum."""
    rate = policy.spec.fill_rate
    scale = capacity / rate.max
    scaled = msgspec.structs.replace(rate, base=scale * rate.base, min=scale * rate.min, max=capacity)
    spec = msgspec.structs.replace(policy.spec, fill_rate=scaled)
    return msgspec.structs.replace(policy, generation=generation, spec=spec)
