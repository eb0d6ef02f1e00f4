"""What is done between two plans for those who can't wait: lumps from the pool, recalls, a place in the line. Pure."""

import numpy as np
from numpy.typing import NDArray

from forefill_operator import recall
from forefill_operator.issuer import NEGLIGIBLE, Deliveries, Issuer
from forefill_operator.member import Member
from forefill_operator.planner import Planner

# A pool that is fuller than this gives to those who are known to wait, so many at once, without being asked.
HELP_FROM, MOST_HELPED = 0.05, 3


class Reaction:
    """`_recalled` holds, by client in a hurry, the recalls for its sake that are not acknowledged yet."""

    def __init__(self, planner: Planner, issuer: Issuer) -> None:
        self.planner = planner
        self.issuer = issuer
        self._recalled: dict[str, dict[str, int]] = {}
        self._lined_up = np.zeros(0, np.intp)
        self._lined_up_at = float("-inf")

    def lump(self, member: Member, now: float) -> float:
        """Tokens at once for what waits, as far as it is believed and the pool has them."""
        demand = member.demand
        if demand is None or demand.waiting <= 0.0 or member.is_judged:
            return 0.0
        lump = self.issuer.pool.draw(demand.waiting, now)
        self.planner.served(member, lump, now)
        return lump

    def help(self, now: float) -> Deliveries:
        """No pool runs over while somebody is known to wait."""
        pushes: Deliveries = []
        pool = self.issuer.pool
        if pool.tokens_at(now) < HELP_FROM * pool.depth:
            return pushes
        for waiting, uid in self.planner.roster.longest_queues(MOST_HELPED, now):
            member = self.issuer.members[uid]
            if member.can_be_pushed_to(now) and not member.is_judged:
                lump = pool.draw(waiting, now)
                self.planner.helped(member, lump, now)
                pushes.append((uid, self.issuer.grant(member, now, lump)))
        return pushes

    def line_up(self) -> None:
        """Those who fell furthest behind the new plan wait for room, which others may have given up meanwhile."""
        roster = self.planner.roster
        rows = roster.in_plan()
        for row in recall.furthest_behind(roster.granted[rows], roster.planned[rows], rows):
            self.issuer.waiting[roster.uids[row]] = None

    def make_room(self, member: Member, now: float) -> Deliveries:
        """The member was granted what fits; recall what it needs beyond that, and let it wait before all others."""
        uid, issuer, roster = member.client.pod_uid, self.issuer, self.planner.roster
        needed = self.planner.planned(member) - member.rate - issuer.room(now)
        rounds = issuer.hurried.get(uid, 0)
        if needed <= NEGLIGIBLE * issuer.policy.spec.fill_rate.max or rounds >= issuer.most_rounds:
            return []
        issuer.hurried[uid] = rounds + 1
        rows = self._line_up()
        recalls: Deliveries = []
        cuts = recall.cuts(roster.granted[rows], roster.planned[rows], rows, needed, recall.MOST_RECALLED << rounds)
        for cut in cuts:
            other = issuer.members[roster.uids[cut.row]]
            if other is not member and other.can_be_pushed_to(now):
                reason = f"{member.client.name} asked for more than was free"
                message = issuer.recall(other, cut.rate, now, reason)
                recalls.append((other.client.pod_uid, message))
                self._recalled.setdefault(uid, {})[other.client.pod_uid] = message.grant_sequence
        return recalls

    def ask_on(self, now: float) -> Deliveries:
        """Those who were recalled have given what they could; whoever is still in a hurry asks the next ones."""
        sendings: Deliveries = []
        for uid, rounds in list(self.issuer.hurried.items()):
            if not self._recalled.get(uid) and rounds < self.issuer.most_rounds:
                sendings += self.make_room(self.issuer.members[uid], now)
        return sendings

    def acknowledged(self, pod_uid: str, sequence: int) -> None:
        """What was recalled from this client up to here is there."""
        for asker, recalled in list(self._recalled.items()):
            if recalled.get(pod_uid, sequence + 1) <= sequence:
                del recalled[pod_uid]
            if not recalled:
                del self._recalled[asker]

    def replanned(self) -> None:
        """Who is in no hurry any more need not wait for acknowledgements that may never come."""
        self._recalled = {uid: asked for uid, asked in self._recalled.items() if uid in self.issuer.hurried}

    def forget(self, pod_uid: str) -> None:
        self._recalled.pop(pod_uid, None)
        for recalled in self._recalled.values():
            recalled.pop(pod_uid, None)

    def _line_up(self) -> NDArray[np.intp]:
        """Rows of those who had most slack by the newest plan, and who are still there.

        Sorting all of them for each report in a hurry would cost too much.
        """
        roster, made_at = self.planner.roster, self.planner.plan.made_at
        if self._lined_up_at != made_at:
            rows = self.planner.plan.rows
            most = recall.most_slack(roster.granted[rows], self.planner.plan.rates)
            self._lined_up, self._lined_up_at = rows[most], made_at
        return self._lined_up[roster.planned[self._lined_up] >= 0.0]
