"""One client as production has it: a sidecar's agent with tenure, predictor, bucket and meter, on its own clock."""

import random
from functools import partial

from forefill_lab.simulator import priced
from forefill_lab.simulator.controllers.base import Scene
from forefill_lab.simulator.controllers.streams import Stream
from forefill_lab.simulator.flow import Flow
from forefill_lab.simulator.gate import FlowGate, FlowPort
from forefill_lab.simulator.priced import PricedFlow
from forefill_operator.client import Client
from forefill_operator.grants import settings as policy_settings
from forefill_operator.policy import SAFE_SHARE, TokenPolicy
from forefill_protocol import messages
from forefill_protocol.podsettings import PolicyListener
from forefill_protocol.policysettings import PolicySettings
from forefill_sidecar.agent import Agent, Member
from forefill_sidecar.expectations import Expectations
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.tenure import Tenure


class Pod:
    """`wakes_at` is when the agent has something to do, in the run's time."""

    __slots__ = ("_outlook_of", "agent", "client", "flow", "gate", "index", "member", "outlook", "stream", "wakes_at")

    def __init__(self, index: int, client: Client, gate: FlowGate, member: Member) -> None:
        self.index = index
        self.client = client
        self.gate = gate
        self.flow = gate.flow
        self.member = member
        self.agent: Agent
        self.stream: Stream
        self.wakes_at = float("inf")
        self.outlook = 0.0, 1.0, 1.0
        self._outlook_of: tuple[int, messages.Assignment | None] = -1, None

    @property
    def expectations(self) -> Expectations:
        return self.member.listener.expectations

    def has_outlook(self) -> bool:
        """Whether neither a report nor a grant has changed `outlook`."""
        sequence, held = self._outlook_of
        return sequence == self.agent.sequence and held is self.member.tenure.assignment

    def look_out(self, trust: float) -> None:
        """`outlook`: the mean demand forecast for the window under way, tokens/s, trust and priority."""
        held = self.held
        self._outlook_of = self.agent.sequence, held
        self.outlook = self.member.predictor.mean, trust, held.priority if held else 1.0

    @property
    def held(self) -> messages.Assignment | None:
        return self.member.tenure.assignment


def build(index: int, scene: Scene, policy: TokenPolicy, chance: random.Random) -> Pod:
    """A pod that starts now, knowing what the injector would have written into it; its agent and stream come after."""
    skew = scene.conditions.skew
    drift, offset = (1 + chance.uniform(-skew, skew), chance.uniform(0.0, 1e6)) if skew else (1.0, 0.0)
    settings, name = policy_settings(policy.spec), scene.demand.clients[index]
    flow = _flow(index, scene, settings, offset, drift)
    now = flow.clock()
    safe_rate = SAFE_SHARE * policy.spec.fill_rate.max / len(scene.demand.clients)
    listener = PolicyListener(
        policy=policy.key,
        policy_uid=policy.uid,
        policy_generation=policy.generation,
        port=17001,
        upstream="http://upstream:80",
        mode=policy.spec.mode,
        safe_rate=safe_rate,
        burst=safe_rate * scene.depth_seconds,
        settings=settings,
    )
    gate = FlowGate(flow, settings, policy.spec.mode)
    member = Member(
        listener=FlowPort(gate, flow.meter, Expectations()),
        tenure=Tenure(listener, now),
        predictor=Predictor(settings.forecast.model, settings.forecast.horizon_windows),
        settings=settings,
        # As `Agent.run` does: pods that start together report at different moments.
        report_due=now + chance.uniform(0.5, 1.0) * settings.report_interval_seconds,
    )
    return Pod(index, identity(name, policy), gate, member)


def _flow(index: int, scene: Scene, settings: PolicySettings, offset: float, drift: float) -> Flow:
    lie, rule = scene.lies.get(index), priced.rule_of(settings.cost)
    if lie is None or lie.kind != "cost" or rule is None:
        return scene.flow(offset, drift)
    return scene.flow(offset, drift, partial(PricedFlow, rule=rule, factor=lie.factor))


def identity(name: str, policy: TokenPolicy) -> Client:
    """`NAMESPACE/NAME` is a pod of that namespace, `CLASS:NAME` one with the labels of that class of the policy."""
    clients = policy.spec.clients
    namespace, slash, rest = name.rpartition("/")
    if not slash:
        namespace = clients.namespaces[0] if clients.namespaces else policy.namespace
    labels = dict(clients.pod_selector.match_labels)
    for each in clients.classes:
        if rest.startswith(f"{each.name}:"):
            labels |= each.pod_selector.match_labels
    return Client(namespace, "default", name, name, labels)
