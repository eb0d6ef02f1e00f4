"""One policy being served: what its clients say, what is planned for them, and when. Pure: `now` is given."""

from collections.abc import Mapping
from math import fsum

from forefill_operator import plan, selection, shaping
from forefill_operator.client import Client
from forefill_operator.demand import Demand, demand_of
from forefill_operator.issuer import NEGLIGIBLE, Deliveries, Issuer
from forefill_operator.learning import Learning, claimed_envelope, confirmed_envelope
from forefill_operator.ledger import Ledger
from forefill_operator.load.readings import Fault
from forefill_operator.member import Member
from forefill_operator.plan import Need, Plan, Standing
from forefill_operator.policy import TokenPolicy
from forefill_operator.shaping import Load
from forefill_protocol.messages import Down, Holding, PolicyReport, Refused

# A client that can't wait for the next interval is planned for within this time.
REPLAN_SECONDS = 1.0
# A request counts as changed when it exceeds the one planned for by this factor.
CHANGED = 1.1


class Book:
    """`learning` accounts for clients of an earlier operator; `load` is the resource's, None while unknown."""

    def __init__(self, policy: TokenPolicy, learning: Learning, now: float) -> None:
        self.issuer = Issuer(policy, learning)
        self.load: Load | None = None
        self.load_faults: Mapping[str, Fault] = {}
        self._requested = 0.0
        self._promised = 0.0
        self._urgent: set[str] = set()
        self._next_plan_at = 0.0
        self._replan(now)

    @property
    def policy(self) -> TokenPolicy:
        return self.issuer.policy

    @property
    def plan(self) -> Plan:
        return self.issuer.plan

    @property
    def learning(self) -> Learning:
        return self.issuer.learning

    @property
    def ledger(self) -> Ledger:
        return self.issuer.ledger

    @property
    def members(self) -> dict[str, Member]:
        return self.issuer.members

    def put(self, policy: TokenPolicy, now: float) -> Deliveries:
        """Serve this policy. A change is planned for and pushed to everybody at once."""
        if policy == self.policy:
            return []
        self.issuer.policy = policy
        for member in self.members.values():
            member.policy_changed()
            member.selected = selection.admits(policy, member.client.namespace, member.client.labels)
        self._replan(now)
        return self.issuer.push(self.issuer.within_reach(now), now)

    # Messages of clients

    def hello(self, client: Client, holding: Holding, now: float) -> Down:
        """Answer at once: what the client holds is confirmed, a newcomer gets what fits."""
        if refused := self._refusal(client):
            return refused
        member = self._member(client)
        self._take_word(member, holding, now)
        member.heard(0, self.policy.spec.report, now)
        if member.planned is None:
            self._welcome(member)
        return self.issuer.grant(member, now)

    def report(self, client: Client, entry: PolicyReport, sequence: int, is_new: bool, now: float) -> Deliveries:
        """The answer comes first, then pushes to others for which the acknowledgement in it made room."""
        if refused := self._refusal(client):
            return [(client.pod_uid, refused)]
        member = self._member(client)
        member.brings(entry.grant_sequence)
        self._acknowledge(member, entry.grant_sequence, entry.policy_generation, now)
        if not is_new and member.assignment is not None:
            return [(client.pod_uid, member.assignment), *self.issuer.pump(now)]
        if is_new:
            self._count(member, entry)
        member.heard(max(sequence, member.answers), self.policy.spec.report, now)
        if member.planned is None:
            self._welcome(member)
        self._meet(member, entry.early)
        return [(client.pod_uid, self.issuer.grant(member, now)), *self.issuer.pump(now)]

    def acknowledge(self, pod_uid: str, sequence: int, generation: int, now: float) -> Deliveries:
        """The client's bucket runs at this grant: what earlier ones held beyond it is free."""
        member = self.members.get(pod_uid)
        if member is None:
            return []
        self._acknowledge(member, sequence, generation, now)
        return self.issuer.pump(now)

    def disconnected(self, pod_uid: str) -> None:
        """The stream is gone; the lease runs on."""
        if member := self.members.get(pod_uid):
            member.connected = False

    def ended(self, pod_uid: str, now: float) -> Deliveries:
        """The pod is known to have ended: what it held is free at once."""
        member = self.members.pop(pod_uid, None)
        if member is None:
            return []
        self.issuer.forget(pod_uid)
        self._requested -= member.demand.request if member.demand else 0.0
        self._promised -= member.planned or 0.0
        self._urgent.discard(pod_uid)
        return self.issuer.pump(now)

    # Time

    def tick(self, now: float) -> Deliveries:
        """Plan when an interval has passed, sooner when somebody can't wait; push what has become possible."""
        if now < self._next_plan_at and not self._should_replan(now):
            return []
        in_a_hurry = [member for uid in self._urgent if (member := self.members.get(uid))]
        self._replan(now)
        raises = [member for member in in_a_hurry if self.issuer.wants_more(member) and member.can_be_pushed_to(now)]
        return self.issuer.make_room(raises, now) + self.issuer.push(raises, now) + self.issuer.pump(now)

    def _should_replan(self, now: float) -> bool:
        """Somebody can't wait, learning has ended, or more is held than max (it was lowered, some have not heard)."""
        if now < self.plan.made_at + REPLAN_SECONDS:
            return False
        if self.plan.made_at < self.learning.until <= now:
            return True
        return bool(self._urgent) or self.issuer.room(now) < -NEGLIGIBLE * self.policy.spec.fill_rate.max

    def _replan(self, now: float) -> None:
        self.ledger.refresh(now)
        self._forget_the_gone(now)
        self.issuer.plan = plan.plan(self.policy, self._standing(now), self.load, now)
        for uid, member in self.members.items():
            member.planned = self.plan.rates.get(uid)
            member.planned_for = member.demand.request if member.demand else member.planned or 0.0
        self._requested, self._promised = self.plan.terms.requested, fsum(self.plan.rates.values())
        self._urgent.clear()
        self._next_plan_at = now + self.policy.spec.report.interval_seconds

    def _standing(self, now: float) -> Standing:
        fresh = {uid: member for uid, member in self.members.items() if member.is_fresh(now)}
        silent = fsum(account.held.rate for uid, account in self.ledger.accounts.items() if uid not in fresh)
        needs = [Need(uid, member.demand) for uid, member in fresh.items()]
        return Standing(needs, silent + self.learning.unknown_at(now))

    def _forget_the_gone(self, now: float) -> None:
        """Whoever is away and holds nothing any more, not even a safe rate, needs no remembering."""
        gone = [
            uid
            for uid, member in self.members.items()
            if not member.connected and not member.is_live(now) and self._holds_nothing(uid)
        ]
        for uid in gone:
            del self.members[uid]
            self.issuer.forget(uid)

    def _holds_nothing(self, pod_uid: str) -> bool:
        account = self.ledger.accounts.get(pod_uid)
        return account is None or account.held.rate <= 0

    # What a client says

    def _refusal(self, client: Client) -> Refused | None:
        if selection.admits(self.policy, client.namespace, client.labels):
            return None
        if member := self.members.get(client.pod_uid):
            member.selected = False
        key = self.policy.key
        return Refused(code=403, policy=key, sentence=f"TokenPolicy {key} does not admit pod {client.name}")

    def _member(self, client: Client) -> Member:
        member = self.members.get(client.pod_uid)
        if member is None:
            member = self.members[client.pod_uid] = Member(client)
        member.client, member.selected = client, True
        return member

    def _take_word(self, member: Member, holding: Holding, now: float) -> None:
        uid, spec = member.client.pod_uid, self.policy.spec
        account = self.ledger.accounts.get(uid)
        if account is None and holding.grant_sequence > 0 and now < self.learning.until:
            confirmed = confirmed_envelope(holding, spec, self.learning, now)
            self.ledger.issue(uid, confirmed, now)
            self._returns(member, confirmed.rate)
            is_granted = confirmed.rate >= holding.fill_rate
        else:
            self.ledger.acknowledge(uid, holding.grant_sequence, now)
            is_granted = account is not None and account.knows(holding.grant_sequence)
        if not is_granted:
            self.ledger.claim(uid, claimed_envelope(holding, spec, len(self.members), now), now)
        member.brings(holding.grant_sequence)
        if holding.policy_uid == self.policy.uid:
            member.generation = holding.policy_generation

    def _returns(self, member: Member, claimed_rate: float) -> None:
        """Until its first report, a client of an earlier operator is taken to need what it holds."""
        member.demand = Demand(request=claimed_rate, reactive=claimed_rate)
        self._requested += claimed_rate
        self._promise(member, claimed_rate)

    def _acknowledge(self, member: Member, sequence: int, generation: int, now: float) -> None:
        member.acknowledge(sequence, generation)
        self.ledger.acknowledge(member.client.pod_uid, sequence, now)

    def _count(self, member: Member, entry: PolicyReport) -> None:
        before = member.demand
        spec = self.policy.spec
        member.demand = demand_of(
            entry, before.owed if before else 0.0, spec.report.interval_seconds, spec.fill_rate.max
        )
        self._requested += member.demand.request - (before.request if before else 0.0)

    # Between two plans

    def _welcome(self, member: Member) -> None:
        """A newcomer gets an equal share of what there is, as far as that is free, and is planned for soon."""
        share = self._available() / max(len(self.members), 1)
        self._promise(member, share)
        self._urgent.add(member.client.pod_uid)

    def _meet(self, member: Member, early: bool) -> None:
        """A larger request raises the target by the formula: the difference is the client's, at once."""
        if member.demand is None or member.planned is None or member.demand.request <= member.planned:
            return
        free = max(self._available() - self._promised, 0.0)
        if early or member.demand.request > CHANGED * member.planned_for:
            self._urgent.add(member.client.pod_uid)
        self._promise(member, min(member.demand.request, member.planned + free))

    def _promise(self, member: Member, rate: float) -> None:
        self._promised += rate - (member.planned or 0.0)
        member.planned = rate

    def _available(self) -> float:
        spec = self.policy.spec
        weights, requested = spec.weights, max(self._requested, 0.0)
        terms = shaping.shape(spec.fill_rate, requested, weights.prediction.initial, self.load, weights.load)
        return plan.available_rate(terms, self.plan.reserved, spec.fill_rate.max)
