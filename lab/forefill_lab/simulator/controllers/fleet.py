"""Forefill itself on a virtual clock: the operator's Controller, and an Agent with all its parts for every client."""

import random
from collections.abc import Callable

import msgspec

from forefill_lab.simulator.controllers.base import Scene
from forefill_lab.simulator.flow import Flow
from forefill_lab.simulator.gate import FlowGate, FlowPort
from forefill_lab.simulator.lies import tell
from forefill_operator.client import Client
from forefill_operator.controller import TICK_SECONDS, Controller, Deliveries
from forefill_operator.grants import settings as policy_settings
from forefill_operator.policy import SAFE_SHARE, TokenPolicy
from forefill_protocol import codec, messages
from forefill_protocol.podsettings import PolicyListener
from forefill_sidecar.agent import Agent, Member
from forefill_sidecar.expectations import Expectations
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.tenure import Tenure

# One message in so many travels as the bytes it would be on the wire.
ENCODED_MESSAGES = 101
LONGEST_RECONNECT_SECONDS = 5.0


class Pod:
    """One client: its agent, its line, and its stream. `stream` rises with each connection."""

    def __init__(self, client: Client, flow: Flow, agent: Agent) -> None:
        self.client = client
        self.flow = flow
        self.agent = agent
        self.member = agent.members[0]
        self.stream = 0
        self.is_open = False
        self.has_greeted = False
        self.wakes_at = float("inf")


class Fleet:
    """A message takes the network's delay; a lost one breaks its stream, which is opened again a little later."""

    def __init__(self, scene: Scene, operator: Controller | None = None, skew: float = 0.0) -> None:
        self.scene = scene
        self.timeline = scene.timeline
        self.policy = _with_capacity(scene.policy, scene.capacity(0.0), 0)
        self.operator = operator or Controller(first_start=True)
        self.pods: dict[str, Pod] = {}
        self._by_index: dict[int, Pod] = {}
        self._random = random.Random(scene.seed)
        self._skew = skew
        self._messages = 0
        for time in scene.capacity.times:
            self.timeline.at(time, self._put_policy)
        self.timeline.at(0.0, self._tick)

    # The run's side

    def join(self, client: int) -> None:
        pod = self._pod(client, self.scene.demand.clients[client])
        self.pods[pod.client.pod_uid] = self._by_index[client] = pod
        self._connect(pod)
        self._wake(pod)

    def leave(self, client: int) -> None:
        """The sidecar's last words; nothing is served any more."""
        pod = self._by_index[client]
        pod.agent.report_now()
        self._up(pod, messages.Goodbye(reason="the pod ends"))
        del self.pods[pod.client.pod_uid]
        pod.flow.retune(pod.flow.clock(), 0.0, 0.0)

    def arrive(self, client: int, tokens: float) -> None:
        flow = self._by_index[client].flow
        flow.arrive(flow.clock(), tokens)

    def open(self) -> None:
        """Agents look whether reality has left their forecast, as they do once a second and when requests wait."""
        for pod in self.pods.values():
            pod.agent.look(pod.flow.clock())

    def settle(self) -> None:
        return

    def flow(self, client: int) -> Flow:
        return self._by_index[client].flow

    def granted(self, client: int) -> float:
        return self._by_index[client].flow.bucket.fill_rate

    def outlook(self, client: int) -> tuple[float, float, float]:
        pod = self._by_index[client]
        held = pod.member.tenure.assignment
        book = self.operator.books.get(self.policy.key)
        member = book.members.get(pod.client.pod_uid) if book else None
        return (
            pod.member.predictor.forecasts()[0].mean,
            float(getattr(member, "trust", 1.0)),
            held.priority if held else 1.0,
        )

    # Pods

    def _pod(self, index: int, name: str) -> Pod:
        drift, offset = 1.0, 0.0
        if self._skew:
            drift, offset = 1 + self._random.uniform(-self._skew, self._skew), self._random.uniform(0.0, 1e6)

        flow = self.scene.flow(offset, drift)
        now = flow.clock()
        settings = policy_settings(self.policy.spec)
        safe_rate = SAFE_SHARE * self.policy.spec.fill_rate.max / len(self.scene.demand.clients)
        listener = PolicyListener(
            self.policy.key, self.policy.uid, self.policy.generation, 17001, "http://upstream:80",
            self.policy.spec.mode, safe_rate, safe_rate * self.scene.depth_seconds, settings,
        )  # fmt: skip
        gate = FlowGate(flow, settings, self.policy.spec.mode)
        member = Member(
            listener=FlowPort(gate, flow.meter, Expectations()),
            tenure=Tenure(listener, now),
            predictor=Predictor(settings.forecast.model, settings.forecast.horizon_windows),
            settings=settings,
            report_due=now + self._random.uniform(0.5, 1.0) * settings.report_interval_seconds,
        )
        lie = self.scene.lies.get(index, 1.0)
        agent = Agent(
            boot_id=f"boot-{index}",
            software="simulator",
            members=[member],
            send=lambda message: self._up(self._by_index[index], tell(message, lie)),
            clock=flow.clock,
        )
        labels = dict(self.policy.spec.clients.pod_selector.match_labels)
        namespaces = self.policy.spec.clients.namespaces or [self.policy.namespace]
        return Pod(Client(namespaces[0], "default", name, name, labels), flow, agent)

    def _wake(self, pod: Pod) -> None:
        """What `Agent.run` does when its time has come, and when to do it again."""
        now = pod.flow.clock()
        pod.flow.serve(now)
        pod.agent.step(now)
        self._set_alarm(pod)

    def _set_alarm(self, pod: Pod) -> None:
        now = self.timeline.now
        at = max(now, now + (pod.agent.next_moment() - pod.flow.clock()))
        if at < pod.wakes_at or pod.wakes_at <= now:
            pod.wakes_at = at
            self.timeline.at(at + 1e-6, lambda: self._alarm(pod, at))

    def _alarm(self, pod: Pod, at: float) -> None:
        if pod.wakes_at == at and pod.client.pod_uid in self.pods:
            pod.wakes_at = float("inf")
            self._wake(pod)

    # Streams

    def _connect(self, pod: Pod) -> None:
        pod.stream, pod.is_open, pod.has_greeted = pod.stream + 1, True, False
        self._up(pod, pod.agent.hello())

    def _break(self, pod: Pod) -> None:
        pod.stream, pod.is_open = pod.stream + 1, False
        stream, uid = pod.stream, pod.client.pod_uid
        self.timeline.later(self._random.uniform(0.0, 1.0), lambda: self.operator.disconnected(uid, self.timeline.now))

        def again() -> None:
            if pod.stream == stream and uid in self.pods:
                self._connect(pod)

        self.timeline.later(self._random.uniform(1.0, LONGEST_RECONNECT_SECONDS), again)

    def _up(self, pod: Pod, message: messages.Up) -> bool:
        if not pod.is_open:
            return False
        heard = codec.decode_up(codec.encode(message)) if self._is_encoded() else message
        self._travel(pod, lambda: self._deliver(self._hear(pod, heard)))
        return True

    def _hear(self, pod: Pod, message: messages.Up) -> Deliveries:
        operator, uid, now = self.operator, pod.client.pod_uid, self.timeline.now
        if isinstance(message, messages.Report):
            return operator.report(pod.client, message, now)
        if isinstance(message, messages.Ack):
            return operator.ack(uid, message, now)
        if isinstance(message, messages.Hello):
            pod.has_greeted = True
            return operator.hello(pod.client, message, now)
        return operator.goodbye(uid, now) if isinstance(message, messages.Goodbye) else []

    def _deliver(self, deliveries: Deliveries) -> None:
        for uid, message in deliveries:
            pod = self.pods.get(uid)
            if pod is not None and pod.is_open and pod.has_greeted:
                self._down(pod, codec.decode_down(codec.encode(message)) if self._is_encoded() else message)

    def _down(self, pod: Pod, message: messages.Down) -> None:
        def arrive() -> None:
            pod.flow.serve(pod.flow.clock())
            pod.agent.receive(message)
            self._set_alarm(pod)

        self._travel(pod, arrive)

    def _travel(self, pod: Pod, arrive: Callable[[], None]) -> None:
        stream, network = pod.stream, self.scene.network
        if network.loss and self._random.random() < network.loss:
            self._break(pod)
            return
        self.timeline.later(network.delay_seconds, lambda: arrive() if pod.stream == stream else None)

    def _is_encoded(self) -> bool:
        self._messages += 1
        return self._messages % ENCODED_MESSAGES == 1

    # The operator

    def _put_policy(self) -> None:
        now = self.timeline.now
        self.policy = _with_capacity(self.scene.policy, self.scene.capacity(now), self.policy.generation + 1)
        self._deliver(self.operator.put_policy(self.policy, now))

    def _tick(self) -> None:
        self._deliver(self.operator.tick(self.timeline.now))
        self.timeline.later(TICK_SECONDS, self._tick)


def _with_capacity(policy: TokenPolicy, capacity: float, generation: int) -> TokenPolicy:
    """The policy with a fill rate scaled to this maximum."""
    rate = policy.spec.fill_rate
    scale = capacity / rate.max
    scaled = msgspec.structs.replace(rate, base=scale * rate.base, min=scale * rate.min, max=capacity)
    spec = msgspec.structs.replace(policy.spec, fill_rate=scaled)
    return msgspec.structs.replace(policy, generation=generation, spec=spec)
