"""Grants of one policy: what is planned for each client, as far as it fits. Pure: `now` is given.

Reductions go out at once; raises wait until what the others hold leaves room, and are pushed when an acknowledgement
or the end of an envelope makes it.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from forefill_operator import explain, grants
from forefill_operator.envelope import Held
from forefill_operator.learning import Learning
from forefill_operator.ledger import Ledger
from forefill_operator.member import Member
from forefill_operator.planner import Planner
from forefill_operator.policy import TokenPolicy
from forefill_operator.pool import Pool
from forefill_operator.recall import MOST_ROUNDS
from forefill_protocol.messages import Assignment, Down, Recall

# A raise by less than this part of what a client is to get is no message worth while it is in no hurry: its next report
# brings it. Nor is room for less than that handed out in crumbs.
SMALLEST_RAISE = 0.02
# A newcomer's first bucket is no deeper than this at its rate: a deep one can't be recalled, and others may come. For
# them this part of the whole depth is kept, since a bucket without depth serves nothing.
WELCOME_SECONDS, SPARE_DEPTH = 1.0, 1 / 16
# Differences below this part of a rate are rounding.
NEGLIGIBLE = 1e-9

# Messages, each with the uid of the pod whose stream it is for.
Deliveries = list[tuple[str, Down]]


class Issuer:
    """`waiting` holds the clients whose grant is below their plan until others have given way: those in a hurry first,
    then in their order. `hurried` counts how often others were asked for the sake of each, `most_rounds` at most for
    one report.
    """

    most_rounds = MOST_ROUNDS

    def __init__(self, planner: Planner, learning: Learning, now: float) -> None:
        self.planner = planner
        self.learning = learning
        self.pool = Pool(now)
        self.ledger = Ledger()
        self.members: dict[str, Member] = {}
        self.hurried: dict[str, int] = {}
        # Ordered: a plain dict looks through all that has been taken out at its beginning.
        self.waiting: OrderedDict[str, None] = OrderedDict()

    @property
    def policy(self) -> TokenPolicy:
        return self.planner.policy

    def tune_pool(self, rate: float, now: float) -> None:
        """The pool fills at `rate` as far as that is free: what clients still hold can't be handed out by it, too."""
        free = self.policy.spec.fill_rate.max - self.learning.unknown_at(now) - self.ledger.held.rate
        self.pool.retune(min(rate, max(free, 0.0)), self.policy.spec.burst.seconds, now)

    def forget(self, pod_uid: str) -> None:
        """The client holds nothing any more."""
        self.ledger.release(pod_uid)
        self.hurried.pop(pod_uid, None)
        self.waiting.pop(pod_uid, None)

    def grant(self, member: Member, now: float, lump_tokens: float = 0.0) -> Assignment:
        """What is planned for the member, as far as it fits; the rest is waited for."""
        uid, planned, spec = member.client.pod_uid, self.planner.planned(member), self.policy.spec
        own, others = self.ledger.granted_to(uid, now), self._held_by_others(uid, now)
        amounts = grants.fitting(planned, self._burst(uid, planned), spec, own, others, len(self.members))
        if member.work:
            until = member.received_at + member.rate_seconds()
            amounts = amounts.falling(self.planner.falls(member, amounts.rate, until))
        request = member.demand.request if member.demand else None
        reason = explain.rate_sentence(amounts.rate, planned, request, self.planner.plan)
        sequence = member.next_sequence()
        granted = grants.assignment(self.policy, member, amounts, sequence, reason, lump_tokens)
        envelope = grants.envelope(granted, member.received_at, spec)
        member.granted(granted, envelope.falls)
        self.ledger.issue(uid, envelope, now)
        self.planner.granted(member)
        if self.wants_more(member):
            self.waiting[uid] = None
        else:
            self.waiting.pop(uid, None)
            self.hurried.pop(uid, None)
        return granted

    def recall(self, member: Member, rate: float, now: float, reason: str, tokens: float = 0.0) -> Recall:
        """Take back what the member holds above `rate`, and up to so many tokens.

        They are free once the member has acknowledged.
        """
        uid, held = member.client.pod_uid, member.assignment
        assert held is not None
        message = Recall(self.policy.key, member.next_sequence(), rate, reason, tokens)
        self.ledger.cut(uid, message.grant_sequence, rate, now)
        falls = tuple((at, min(fallen, rate)) for at, fallen in member.falls)
        member.granted(grants.recalled(held, message), falls)
        self.planner.granted(member)
        return message

    def open_to(self, member: Member, now: float) -> float:
        """The most that the member may be granted at this moment, tokens/s."""
        return max(self.policy.spec.fill_rate.max - self._held_by_others(member.client.pod_uid, now).rate, 0.0)

    def _held_by_others(self, pod_uid: str, now: float) -> Held:
        """What has not spoken may hold its whole rate as a safe rate, too. The pool's rate is handed out in lumps."""
        others, unknown = self.ledger.others(pod_uid), self.learning.unknown_at(now)
        burst = unknown * self.policy.spec.burst.seconds + self.pool.depth
        return Held(others.rate + unknown + self.pool.rate, others.safe_rate + unknown, others.burst + burst)

    def _burst(self, pod_uid: str, rate: float) -> float:
        """The client's part of the depth, in proportion to its rate; something is left for those who come."""
        spec, plan = self.policy.spec, self.planner.plan
        if pod_uid in self.planner.welcomed:
            return rate * min(spec.burst.seconds, WELCOME_SECONDS)
        depth = (1.0 - SPARE_DEPTH) * spec.fill_rate.max * spec.burst.seconds
        whole = plan.available + plan.reserved
        return min(depth * rate / whole, depth) if whole > 0 else 0.0

    def wants_more(self, member: Member) -> bool:
        return self.planner.planned(member) - member.rate > NEGLIGIBLE * self.policy.spec.fill_rate.max

    def within_reach(self, now: float) -> list[Member]:
        return [member for member in self.members.values() if member.can_be_pushed_to(now)]

    def push(self, members: Iterable[Member], now: float) -> Deliveries:
        return [(member.client.pod_uid, self.grant(member, now)) for member in members]

    def pump(self, now: float) -> Deliveries:
        """Give free room to those who wait."""
        pushes: Deliveries = []
        for uid in self._first_waiting():
            member, room = self.members[uid], self.room(now)
            planned = self.planner.planned(member)
            wanted = planned - member.rate
            smallest = 0.0 if uid in self.hurried else SMALLEST_RAISE * planned
            if wanted <= smallest or not member.can_be_pushed_to(now):
                self.waiting.pop(uid, None)
                self.hurried.pop(uid, None)
                continue
            if room <= 0.0 or room < min(wanted, SMALLEST_RAISE * planned):
                break
            pushes += self.push([member], now)
            if uid in self.waiting:
                break
        return pushes

    def _first_waiting(self) -> Iterator[str]:
        """The one that comes first, again and again while it is taken out each time."""
        while self.waiting:
            yield next(iter(self.hurried or self.waiting))

    def room(self, now: float) -> float:
        unknown = self.learning.unknown_at(now)
        return self.policy.spec.fill_rate.max - unknown - self.pool.rate - self.ledger.held.rate
