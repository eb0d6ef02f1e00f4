"""What is believed of the clients of one policy, and what follows from it: each one's rate. Pure: `now` is given."""

from collections.abc import Mapping
from math import isnan, nan

import numpy as np
from msgspec.structs import replace

from forefill_operator import plan
from forefill_operator.appraisal import Appraiser
from forefill_operator.classes import Groups
from forefill_operator.coming import LEAD_SECONDS, Moments, goes_on, surprised
from forefill_operator.demand import Demand, Window, demand_of, trust_in
from forefill_operator.member import Member
from forefill_operator.pace import pace_of
from forefill_operator.plan import Plan
from forefill_operator.policy import TokenPolicy
from forefill_operator.roster import Roster
from forefill_operator.shaper import Shaper
from forefill_operator.work import believed_work, declared, declared_rate
from forefill_protocol.messages import PolicyReport

# A newcomer's first grant is at most this part of the room; the plan that follows within a second knows how many came.
WELCOME_PART = 0.125
# A rate that falls by less than this part needs no step.
SMALLEST_FALL = 0.02
# An assignment has no more steps; what ends later is found out by the next report.
MOST_STEPS = 16


class Planner:
    def __init__(self, policy: TokenPolicy) -> None:
        self.roster = Roster()
        self.appraiser = Appraiser(policy.spec)
        self.shaper = Shaper(policy)
        self.plan: Plan
        # How many policies are planned for often on the same core, this one included.
        self.policies = 1
        self.pace = pace_of(0, self.policies)
        self._requested = self._promised = 0.0
        # Newcomers since the newest plan.
        self.welcomed: set[str] = set()
        self._moments = Moments()
        # Those whose declared work or falling rate every plan has to look at.
        self._scheduled: dict[str, Member] = {}
        self.configure(policy, {})

    def configure(self, policy: TokenPolicy, members: Mapping[str, Member]) -> None:
        """Serve this policy: its classes may be others, and its bounds."""
        self.policy = policy
        self.appraiser.configure(policy.spec)
        self.shaper.policy = policy
        self.groups = Groups(policy)
        for member in members.values():
            self.roster.group[member.row] = self.groups.index_of(member.client)

    # Beliefs

    def meet(self, member: Member) -> None:
        """The client takes part from now on, as long as it is heard of."""
        roster = self.roster
        if member.row < 0:
            member.row = roster.row_of(member.client.pod_uid)
            roster.group[member.row] = self.groups.index_of(member.client)
        roster.fresh_until[member.row] = member.fresh_until

    def expect(self, member: Member, demand: Demand, now: float) -> None:
        """Take this for what the client needs."""
        self.meet(member)
        self._expect(member, demand, now)
        self.roster.known[member.row] = True

    def _expect(self, member: Member, demand: Demand, now: float) -> None:
        before, member.demand = member.demand, demand
        self._requested += demand.request - (before.request if before else 0.0)
        self._write(member.row, demand, now)

    def observe(self, member: Member, entry: PolicyReport, now: float) -> None:
        """Learn from a report that was not counted before."""
        client, spec, before = member.client, self.policy.spec, member.demand
        member.appraisal = self.appraiser.report(client, entry, now)
        member.priority = self.appraiser.priority(member.appraisal)
        member.forecast = entry.forecasts[0].mean if entry.forecasts else None
        member.window.add(entry)
        interval = spec.report.interval_seconds
        demand = demand_of(entry, member.window, member.appraisal, before, interval, spec.fill_rate.max)
        work = declared(entry.expectations, now, spec.fill_rate.max)
        member.work = believed_work(work, trust_in(member.appraisal))
        if entry.early:
            demand = surprised(member, demand, entry, spec, now)
        elif member.surprised_until > now:
            goes_on(member, entry, spec, now)
        self._moments.expect(client.pod_uid, member.work, now)
        self._schedule(member)
        self._expect(member, demand, now)
        roster, row = self.roster, member.row
        roster.weight[row] = member.priority
        roster.judge(row, member.appraisal.verdict)
        roster.spared(row, member.spare(entry.spare_tokens), now)
        roster.latency[row] = entry.upstream_seconds.p95 if entry.upstream_seconds else nan
        if not entry.early:
            window, member.window = member.window, Window()
            roster.offered[row] = window.rate_of(window.offered)
            roster.admitted[row] = window.rate_of(window.admitted)
            roster.would_wait[row] = window.rate_of(window.would_wait)
            roster.would_refuse[row] = window.rate_of(window.would_refuse)
            roster.known[row] = True

    def due(self, now: float) -> list[str]:
        """Clients whose declared work is about to begin."""
        return self._moments.due(now)

    def served(self, member: Member, lump_tokens: float, now: float) -> None:
        """So much of what waits gets tokens apart from the rate."""
        if member.demand is not None and lump_tokens > 0.0:
            less = lump_tokens / self.policy.spec.report.interval_seconds
            demand = member.demand
            self._expect(
                member,
                replace(
                    demand,
                    request=max(demand.request - less, 0.0),
                    reactive=max(demand.reactive - less, 0.0),
                    waiting=demand.waiting - lump_tokens,
                ),
                now,
            )

    def helped(self, member: Member, lump_tokens: float, now: float) -> None:
        """Tokens went to what is believed to wait still."""
        self.roster.waiting[member.row] = self.waiting(member, now) - lump_tokens
        self.roster.heard_at[member.row] = now

    def waiting(self, member: Member, now: float) -> float:
        """Tokens that still wait at this client."""
        return float(self.roster.backlog(np.array([member.row]), now)[0])

    def granted(self, member: Member) -> None:
        """The member's newest grant is another one."""
        self.roster.granted[member.row] = member.rate
        self._schedule(member)

    def forget(self, member: Member, now: float) -> None:
        """The client is gone for good."""
        uid = member.client.pod_uid
        self._requested -= member.demand.request if member.demand else 0.0
        self._promised -= self.planned(member)
        self.roster.remove(uid)
        self._moments.forget(uid)
        self._scheduled.pop(uid, None)
        self.welcomed.discard(uid)
        self.appraiser.forget(uid, now)

    def _write(self, row: int, demand: Demand, now: float) -> None:
        roster, backlog = self.roster, demand.waiting / self.policy.spec.report.interval_seconds
        # A request is at most max, backlog included; the backlog may be more.
        roster.request[row] = max(demand.request - backlog, 0.0)
        roster.reactive[row] = max(demand.reactive - backlog, 0.0)
        roster.spread[row], roster.waiting[row], roster.heard_at[row] = demand.spread, demand.waiting, now

    # Plans

    def make(self, reserved: float, now: float) -> None:
        """Plan for everybody who takes part; `reserved` may be held by others, tokens/s."""
        self._declare(now)
        roster = self.roster
        rows = roster.fresh(now)
        terms = self.shaper.shape(roster, rows, now)
        self.plan = plan.plan(self.policy, roster, rows, self.groups.all, terms, reserved, now)
        self.welcomed.clear()
        roster.planned[:] = nan
        roster.planned[rows] = self.plan.rates
        self._requested, self._promised = terms.requested, self.plan.planned
        self.pace = pace_of(len(roster.rows), self.policies)

    def _declare(self, now: float) -> None:
        self.roster.declared[:] = 0.0
        for uid, member in list(self._scheduled.items()):
            member.settle(now)
            self.roster.granted[member.row] = member.rate
            member.work = tuple(work for work in member.work if work.ends > now)
            self.roster.declared[member.row] = declared_rate(member.work, now, now + LEAD_SECONDS)
            if not (member.work or member.falls):
                del self._scheduled[uid]

    def _schedule(self, member: Member) -> None:
        if member.work or member.falls:
            self._scheduled[member.client.pod_uid] = member

    # Between two plans

    def is_planned(self, member: Member) -> bool:
        """The client is part of the newest plan, or something was promised to it since."""
        return not isnan(self.roster.planned[member.row])

    def planned(self, member: Member) -> float:
        """The rate that the client is to get, tokens/s; 0 where nothing is planned for it."""
        rate = float(self.roster.planned[member.row])
        return rate if rate > 0.0 else 0.0

    def promise(self, member: Member, rate: float) -> None:
        self._promised += rate - self.planned(member)
        self.roster.planned[member.row] = rate

    def available(self) -> float:
        """What there is to divide now: a larger request has raised the target by the formula."""
        terms = self.shaper.terms_of(self._requested, self.plan.terms.load)
        most = plan.available_rate(terms, self.plan.reserved, self.policy.spec.fill_rate.max)
        return max(most - self.plan.pool_rate, 0.0)

    def falls(self, member: Member, rate: float, until: float) -> tuple[tuple[float, float], ...]:
        """When what the member has declared ends, and the rate that is enough from then on; before `until`."""
        falls = []
        for end in sorted({work.ends for work in member.work if work.ends < until}):
            deserved = self._deserved(member, declared_rate(member.work, end, until))
            if deserved is not None and deserved < (1.0 - SMALLEST_FALL) * rate:
                rate = deserved
                falls.append((end, rate))
        return tuple(falls[:MOST_STEPS])

    def _deserved(self, member: Member, coming: float) -> float | None:
        """At the level of the newest plan, with so much declared work, tokens/s; None while nothing is known."""
        level = self.plan.levels.get(int(self.roster.group[member.row]))
        if member.demand is None or level is None:
            return None
        demand = member.demand
        request = min(demand.request + coming, self.policy.spec.fill_rate.max)
        known = bool(self.roster.known[member.row])
        return plan.rate_between_plans(level, request, demand.reactive, demand.spread, member.priority, known)

    def welcome(self, member: Member, clients: int, room: float) -> None:
        """A newcomer gets an equal share, and a part of the room: others may greet in the same moment."""
        terms = self.shaper.advanced(self.plan.terms, 1.0)
        most = plan.available_rate(terms, self.plan.reserved, self.policy.spec.fill_rate.max)
        self.promise(member, max(min(most / max(clients, 1), WELCOME_PART * room), 0.0))
        self.welcomed.add(member.client.pod_uid)

    def revise(self, member: Member, now: float) -> None:
        """What the newest plan would have given for the request as it is now, as far as there is room."""
        coming = declared_rate(member.work, now, now + LEAD_SECONDS)
        self.roster.declared[member.row] = coming
        wanted = self._deserved(member, coming)
        if wanted is None or not self.is_planned(member):
            return
        planned = self.planned(member)
        if wanted > planned:
            free = max(self.available() - self._promised, 0.0) if not member.is_judged else 0.0
            wanted = min(wanted, planned + free)
        self.promise(member, wanted)
