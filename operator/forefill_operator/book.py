"""One policy being served: what its clients say, what is planned for them, and when. Pure: `now` is given."""

from collections.abc import Mapping
from math import fsum

from forefill_operator import selection
from forefill_operator.client import Client
from forefill_operator.holdings import take_word
from forefill_operator.issuer import NEGLIGIBLE, Deliveries, Issuer
from forefill_operator.learning import Learning
from forefill_operator.ledger import Ledger
from forefill_operator.load.readings import Fault
from forefill_operator.member import Member
from forefill_operator.pace import PERIOD_SECONDS
from forefill_operator.plan import Plan
from forefill_operator.planner import Planner
from forefill_operator.policy import TokenPolicy
from forefill_operator.reaction import Reaction
from forefill_operator.shaping import Load
from forefill_operator.transfers import Transfers
from forefill_protocol.messages import Ack, Down, Holding, PolicyReport, Refused


class Book:
    """`learning` accounts for clients of an earlier operator; `load_faults` says what of the load is not measured."""

    def __init__(self, policy: TokenPolicy, learning: Learning, now: float) -> None:
        self.planner = Planner(policy)
        self.load_faults: Mapping[str, Fault] = {}
        self.issuer = Issuer(self.planner, learning, now)
        self.reaction = Reaction(self.planner, self.issuer)
        self.transfers = Transfers(self.planner, self.issuer)
        # A dict, since sets of names have another order in every process.
        self._urgent: dict[str, None] = {}
        # Reports came that the newest plan does not know of.
        self._has_news = False
        self.replan(now)

    @property
    def policy(self) -> TokenPolicy:
        return self.planner.policy

    @property
    def plan(self) -> Plan:
        return self.planner.plan

    @property
    def load(self) -> Load | None:
        return self.planner.shaper.load

    @load.setter
    def load(self, load: Load | None) -> None:
        self.planner.shaper.load = load

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
        self.planner.configure(policy, self.members)
        for member in self.members.values():
            member.policy_changed()
            member.selected = selection.admits(policy, member.client.namespace, member.client.labels)
            self.planner.meet(member)
        self.replan(now)
        return self.issuer.push(self.issuer.within_reach(now), now)

    # Messages of clients

    def hello(self, client: Client, holding: Holding, now: float) -> Down:
        """Answer at once: what the client holds is confirmed, a newcomer gets what fits."""
        member = self._admit(client)
        if isinstance(member, Refused):
            return member
        take_word(self.planner, self.issuer, member, holding, now)
        self._heard(member, 0, now)
        return self.issuer.grant(member, now)

    def report(self, client: Client, entry: PolicyReport, sequence: int, is_new: bool, now: float) -> Deliveries:
        """The answer comes first, then pushes to others: recalls for its sake, and raises for which it made room."""
        member = self._admit(client)
        if isinstance(member, Refused):
            return [(client.pod_uid, member)]
        member.brings(entry.grant_sequence)
        self._acknowledge(member, entry.grant_sequence, entry.policy_generation, now)
        if not is_new and member.assignment is not None:
            return [(client.pod_uid, member.assignment), *self.issuer.pump(now)]
        # A little with each report, so that no plan finds much of it to do.
        self.ledger.lapse(now)
        self._heard(member, max(sequence, member.answers), now)
        if is_new:
            self.planner.observe(member, entry, now)
            self._has_news = True
        return self._answer(member, entry.early or client.pod_uid in self._urgent, now)

    def acknowledge(self, pod_uid: str, ack: Ack, now: float) -> Deliveries:
        """The client's bucket runs at this grant: what it held or gave up beyond that is free."""
        member = self.members.get(pod_uid)
        if member is None:
            return []
        self._acknowledge(member, ack.grant_sequence, ack.policy_generation, now)
        lumps = self.transfers.brought(pod_uid, ack.grant_sequence, ack.tokens, now)
        return lumps + self.issuer.pump(now) + self.reaction.ask_on(now)

    def disconnected(self, pod_uid: str) -> None:
        """The stream is gone; the lease runs on."""
        if member := self.members.get(pod_uid):
            member.connected = False
            self.transfers.forget(pod_uid)

    def ended(self, pod_uid: str, now: float) -> Deliveries:
        """The pod is known to have ended: what it held is free at once."""
        member = self.members.get(pod_uid)
        if member is None:
            return []
        self._forget(member, now)
        return self.issuer.pump(now)

    # Time

    def is_busy(self, now: float) -> bool:
        """It has to be planned for anew, or has been within the last second."""
        return self._has_news or now < self.plan.made_at + PERIOD_SECONDS

    def tick(self, now: float) -> Deliveries:
        """Plan when it is time, sooner when somebody can't wait; push what has become possible."""
        self._urgent.update(dict.fromkeys(self.planner.due(now)))
        self.ledger.lapse(now)
        if not self._should_replan(now):
            return self.reaction.help(now)
        in_a_hurry = [member for uid in self._urgent if (member := self.members.get(uid))]
        self.replan(now)
        raises = [member for member in in_a_hurry if self.issuer.wants_more(member) and member.can_be_pushed_to(now)]
        sendings: Deliveries = []
        for member in raises:
            sendings += [(member.client.pod_uid, self.issuer.grant(member, now)), *self.reaction.make_room(member, now)]
        self.reaction.line_up()
        self.issuer.tune_pool(self.plan.pool_rate, now)
        return [*sendings, *self.reaction.help(now), *self.issuer.pump(now)]

    def _should_replan(self, now: float) -> bool:
        """Reports came, learning has ended, or more is held than max (it was lowered, and some have not heard)."""
        planned_at, period = self.plan.made_at, self.planner.pace.period
        if now >= planned_at + max(self.policy.spec.report.interval_seconds, period):
            return True
        if self._urgent and now >= planned_at + self.planner.pace.spacing:
            return True
        if now < planned_at + period:
            return False
        if planned_at < self.learning.until <= now:
            return True
        is_over = self.issuer.room(now) < -NEGLIGIBLE * self.policy.spec.fill_rate.max
        return self._has_news or is_over

    def replan(self, now: float) -> None:
        """Plan anew for the members that there are; `tick` does it when it is time."""
        self.ledger.refresh(now)
        self._forget_the_gone(now)
        self.planner.make(self._reserved(now), now)
        self.issuer.tune_pool(self.plan.pool_rate, now)
        self._urgent.clear()
        self.reaction.replanned()
        self._has_news = False

    def _reserved(self, now: float) -> float:
        """What clients hold that take no part in the plan, and what nobody has told of yet."""
        accounts = self.ledger.accounts
        silent = [accounts[uid].held.rate for uid in self.planner.roster.silent(now) if uid in accounts]
        return fsum(silent) + self.learning.unknown_at(now)

    def _forget_the_gone(self, now: float) -> None:
        """Whoever is away and holds nothing any more, not even a safe rate, needs no remembering."""
        for uid in self.planner.roster.silent(now):
            member = self.members[uid]
            if not member.connected and not member.is_live(now) and self._holds_nothing(uid):
                self._forget(member, now)

    def _forget(self, member: Member, now: float) -> None:
        uid = member.client.pod_uid
        del self.members[uid]
        self.issuer.forget(uid)
        self.planner.forget(member, now)
        self._urgent.pop(uid, None)
        self.reaction.forget(uid)
        self.transfers.forget(uid)

    def _holds_nothing(self, pod_uid: str) -> bool:
        account = self.ledger.accounts.get(pod_uid)
        return account is None or account.held.rate <= 0

    # What a client says

    def _admit(self, client: Client) -> Member | Refused:
        """Whom the policy has admitted stays so until it changes, or what is known of the client."""
        member = self.members.get(client.pod_uid)
        if member is not None and member.client is client and member.selected:
            return member
        if not selection.admits(self.policy, client.namespace, client.labels):
            if member is not None:
                member.selected = False
                self.planner.meet(member)
            key = self.policy.key
            return Refused(code=403, policy=key, sentence=f"TokenPolicy {key} does not admit pod {client.name}")
        if member is None:
            member = self.members[client.pod_uid] = Member(client)
        member.client, member.selected = client, True
        return member

    def _heard(self, member: Member, answers: int, now: float) -> None:
        """Grants count from here. A newcomer is planned for soon; until then it gets an equal share of what is free."""
        member.heard(answers, self.policy.spec.report, now)
        self.planner.meet(member)
        if not self.planner.is_planned(member):
            self.planner.welcome(member, len(self.members), self.issuer.open_to(member, now))
            self._urgent[member.client.pod_uid] = None

    def _acknowledge(self, member: Member, sequence: int, generation: int, now: float) -> None:
        self.reaction.acknowledged(member.client.pod_uid, sequence)
        member.acknowledge(sequence, generation)
        self.ledger.acknowledge(member.client.pod_uid, sequence, now)

    # The answer

    def _answer(self, member: Member, in_a_hurry: bool, now: float) -> Deliveries:
        """What the client says counts at once: in a new plan where that is cheap, else at the level of the last one."""
        lump = self.reaction.lump(member, now)
        self.planner.revise(member, now)
        if now >= self.plan.made_at + (self.planner.pace.spacing if in_a_hurry else self.planner.pace.freshness):
            self.replan(now)
            self.reaction.line_up()
        elif in_a_hurry:
            self._urgent[member.client.pod_uid] = None
        sendings: Deliveries = [(member.client.pod_uid, self.issuer.grant(member, now, lump))]
        if in_a_hurry:
            self.issuer.hurried.pop(member.client.pod_uid, None)
            sendings += self.reaction.make_room(member, now) + self.transfers.begin(member, now)
        return sendings + self.issuer.pump(now)
