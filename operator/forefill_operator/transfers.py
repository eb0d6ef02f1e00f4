"""Tokens that lie idle in the buckets of some clients, brought to one whose requests wait. Pure: `now` is given.

A rate that is recalled earns over seconds; what a queue needs at once has been earned already, by those who had no use
for it. A giver takes tokens out of its bucket when a recall asks for them, and says how many in its acknowledgement.
They go on as a lump: what all buckets and the pool hold together is never more than was earned.
"""

from collections.abc import Iterator
from math import isinf

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from forefill_operator.issuer import Deliveries, Issuer
from forefill_operator.member import Member
from forefill_operator.planner import Planner
from forefill_operator.recall import MOST_LINED_UP, MOST_RECALLED

# Not worth a message: less than this part of what is needed, or this much of the giver's own rate.
SMALLEST_PART, SMALLEST_SECONDS = 0.05, 0.5


class Transfer(Struct, frozen=True, gc=False):
    """`tokens` were asked of one client, for the `taker`, by the recall of this sequence."""

    taker: str
    sequence: int
    tokens: float


class Transfers:
    """`handed_on` tokens have come from idle buckets to those who waited.

    `_open`: asked for and not acknowledged, by giver. `_rounds` counts how often others were asked for a taker.
    """

    def __init__(self, planner: Planner, issuer: Issuer) -> None:
        self.planner = planner
        self.issuer = issuer
        self.handed_on = 0.0
        self._open: dict[str, Transfer] = {}
        self._rounds: dict[str, int] = {}
        self._givers = np.zeros(0, np.intp)
        self._lined_up_at = float("-inf")

    def begin(self, member: Member, now: float) -> Deliveries:
        """The client has told of its queue: ask for tokens as far as it still waits."""
        self._rounds[member.client.pod_uid] = 0
        return self.ask(member, now)

    def ask(self, member: Member, now: float) -> Deliveries:
        """Ask those who have most, twice as many each time."""
        uid, issuer, roster = member.client.pod_uid, self.issuer, self.planner.roster
        waiting, rounds = self.planner.waiting(member, now), self._rounds.get(uid, issuer.most_rounds)
        needed = waiting - sum(each.tokens for each in self._for(uid))
        is_served = not member.is_judged and issuer.policy.spec.mode == "Enforce"
        if needed <= 0.0 or not is_served or rounds >= issuer.most_rounds:
            return []
        self._rounds[uid] = rounds + 1
        recalls: Deliveries = []
        for giver, spare in self._candidates(member, SMALLEST_PART * waiting, now):
            tokens = min(spare, needed)
            roster.spared(giver.row, spare - tokens, now)
            message = issuer.recall(giver, giver.rate, now, f"requests of {member.client.name} wait", tokens)
            self._open[giver.client.pod_uid] = Transfer(uid, message.grant_sequence, tokens)
            recalls.append((giver.client.pod_uid, message))
            needed -= tokens
            if needed <= 0.0 or len(recalls) >= MOST_RECALLED << rounds:
                break
        return recalls

    def brought(self, pod_uid: str, sequence: int, tokens: float, now: float) -> Deliveries:
        """The giver's bucket is lighter by so many; more than was asked for is not believed."""
        transfer = self._open.get(pod_uid)
        if transfer is None or sequence < transfer.sequence:
            return []
        del self._open[pod_uid]
        lump = min(tokens, transfer.tokens) if sequence == transfer.sequence else 0.0
        if lump < transfer.tokens:
            self.planner.roster.spared(self.issuer.members[pod_uid].row, 0.0, now)
        taker = self.issuer.members.get(transfer.taker)
        if taker is None:
            self.issuer.pool.add(lump, now)
            return []
        sendings = self._hand_on(taker, lump, now)
        return sendings if any(self._for(transfer.taker)) else sendings + self.ask(taker, now)

    def forget(self, pod_uid: str) -> None:
        """Nothing comes from this client any more, nor does it need anything."""
        self._open.pop(pod_uid, None)
        self._rounds.pop(pod_uid, None)

    def _hand_on(self, taker: Member, tokens: float, now: float) -> Deliveries:
        """What the taker needs no more goes to the pool."""
        lump = min(tokens, self.planner.waiting(taker, now)) if taker.can_be_pushed_to(now) else 0.0
        self.issuer.pool.add(tokens - lump, now)
        if lump <= 0.0:
            return []
        self.handed_on += lump
        self.planner.helped(taker, lump, now)
        return [(taker.client.pod_uid, self.issuer.grant(taker, now, lump))]

    def _for(self, taker: str) -> Iterator[Transfer]:
        return (each for each in self._open.values() if each.taker == taker)

    def _candidates(self, taker: Member, least: float, now: float) -> Iterator[tuple[Member, float]]:
        """Those who can be asked and their tokens, most first. A class with a ceiling gets none from outside."""
        roster, members = self.planner.roster, self.issuer.members
        group = int(roster.group[taker.row])
        has_ceiling = not isinf(self.planner.groups.all[group].ceiling)
        rows = self._line_up(now)
        spare = roster.spare_at(rows, self.issuer.policy.spec.burst.seconds, now)
        enough = spare > np.maximum(least, SMALLEST_SECONDS * roster.granted[rows])
        if has_ceiling:
            enough &= roster.group[rows] == group
        for row, tokens in zip(rows[enough].tolist(), spare[enough].tolist(), strict=True):
            giver = members.get(roster.uids[row])
            if giver is None or giver is taker or giver.client.pod_uid in self._open:
                continue
            if giver.can_be_pushed_to(now):
                yield giver, tokens

    def _line_up(self, now: float) -> NDArray[np.intp]:
        """Rows of those with most to spare as of the newest plan: sorting all for each report would cost too much."""
        roster, made_at = self.planner.roster, self.planner.plan.made_at
        if self._lined_up_at != made_at:
            self._lined_up_at = made_at
            rows = roster.fresh(now)
            spare = roster.spare_at(rows, self.issuer.policy.spec.burst.seconds, now)
            self._givers = rows[np.argsort(-spare, kind="stable")[:MOST_LINED_UP]]
        return self._givers
