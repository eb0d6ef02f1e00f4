"""Grants of one policy: what is planned for each client, as far as it fits. Pure: `now` is given.

Reductions go out at once; raises wait until what the others hold leaves room, and are pushed when an acknowledgement
or the end of an envelope makes it.
"""

from collections.abc import Iterable, Iterator
from math import fsum

from forefill_operator import explain, grants
from forefill_operator.learning import Learning
from forefill_operator.ledger import Held, Ledger
from forefill_operator.member import Member
from forefill_operator.plan import Plan
from forefill_operator.policy import TokenPolicy
from forefill_protocol.messages import Assignment, Down

# Room smaller than this part of what a waiting client is to get is left to grow, rather than pushed in crumbs.
SMALLEST_RAISE = 0.02
# Differences below this part of a rate are rounding.
NEGLIGIBLE = 1e-9

# Messages, each with the uid of the pod whose stream it is for.
Deliveries = list[tuple[str, Down]]


class Issuer:
    """`waiting` holds the clients whose grant is below their plan until others have given way, in their order."""

    def __init__(self, policy: TokenPolicy, learning: Learning) -> None:
        self.policy = policy
        self.learning = learning
        self.ledger = Ledger()
        self.members: dict[str, Member] = {}
        self.plan: Plan
        self.waiting: dict[str, None] = {}

    def forget(self, pod_uid: str) -> None:
        """The client holds nothing any more."""
        self.ledger.release(pod_uid)
        self.waiting.pop(pod_uid, None)

    def grant(self, member: Member, now: float) -> Assignment:
        """What is planned for the member, as far as it fits; the rest is waited for."""
        uid, planned = member.client.pod_uid, member.planned or 0.0
        own, others = self.ledger.granted_to(uid, now), self._held_by_others(uid, now)
        burst = self._burst(planned)
        amounts = grants.fitting(planned, burst, self.policy.spec, own, others, len(self.members))
        request = member.demand.request if member.demand else None
        reason = explain.rate_sentence(amounts.rate, planned, request, self.plan)
        member.assignment = grants.assignment(self.policy, member, amounts, member.next_sequence(), reason)
        self.ledger.issue(uid, grants.envelope(member.assignment, member.received_at, self.policy.spec), now)
        if self.wants_more(member):
            self.waiting[uid] = None
        else:
            self.waiting.pop(uid, None)
        return member.assignment

    def _held_by_others(self, pod_uid: str, now: float) -> Held:
        """What has not spoken may hold its whole rate as a safe rate, too."""
        others, unknown = self.ledger.others(pod_uid), self.learning.unknown_at(now)
        burst = unknown * self.policy.spec.burst.seconds
        return Held(others.rate + unknown, others.safe_rate + unknown, others.burst + burst)

    def _burst(self, rate: float) -> float:
        """The client's part of the whole depth, in proportion to its rate."""
        spec = self.policy.spec
        depth = spec.fill_rate.max * spec.burst.seconds
        whole = self.plan.available + self.plan.reserved
        return min(depth * rate / whole, depth) if whole > 0 else 0.0

    def wants_more(self, member: Member) -> bool:
        return (member.planned or 0.0) - member.rate > NEGLIGIBLE * self.policy.spec.fill_rate.max

    def within_reach(self, now: float) -> list[Member]:
        return [member for member in self.members.values() if member.can_be_pushed_to(now)]

    def push(self, members: Iterable[Member], now: float) -> Deliveries:
        return [(member.client.pod_uid, self.grant(member, now)) for member in members]

    def make_room(self, raises: list[Member], now: float) -> Deliveries:
        """Push reductions, largest first, as far as the raises need; others learn with their next report."""
        need = fsum((member.planned or 0.0) - member.rate for member in raises) - self.room(now)
        if need <= 0:
            return []
        slack = [(m.rate - (m.planned or 0.0), m.client.pod_uid) for m in self.within_reach(now)]
        pushes: Deliveries = []
        for spare, uid in sorted(slack, reverse=True):
            if need <= 0 or spare <= 0:
                break
            pushes += self.push([self.members[uid]], now)
            need -= spare
        return pushes

    def pump(self, now: float) -> Deliveries:
        """Give free room to those who wait, in the order in which they came."""
        pushes: Deliveries = []
        for uid in self._first_waiting():
            member, room = self.members[uid], self.room(now)
            wanted = (member.planned or 0.0) - member.rate
            if wanted <= 0 or not member.can_be_pushed_to(now):
                del self.waiting[uid]
                continue
            if room <= 0 or room < min(wanted, SMALLEST_RAISE * (member.planned or 0.0)):
                break
            pushes += self.push([member], now)
            if uid in self.waiting:
                break
        return pushes

    def _first_waiting(self) -> Iterator[str]:
        """The one that has waited longest, again and again while it is taken out each time."""
        while self.waiting:
            yield next(iter(self.waiting))

    def room(self, now: float) -> float:
        return self.policy.spec.fill_rate.max - self.learning.unknown_at(now) - self.ledger.held.rate
