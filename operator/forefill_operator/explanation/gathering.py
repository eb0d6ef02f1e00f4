"""The facts behind a policy's fill rate, or a client's, gathered from its book. Nothing is changed by looking."""

from math import isfinite

import numpy as np
from numpy.typing import NDArray

from forefill_operator import explain
from forefill_operator.anomaly.finding import VERDICTS
from forefill_operator.book import Book
from forefill_operator.explanation.facts import (
    AnomalyFacts,
    ClassFacts,
    ClientFacts,
    ClientLine,
    HeldUp,
    PolicyFacts,
)
from forefill_operator.work import declared_rate

# Clients that are listed by name: those with the largest rates, those that something is held against, and those that
# enforcement would have held up most.
MOST_LISTED = 10


def policy_facts(book: Book, now: float) -> PolicyFacts:
    planner, policy, plan = book.planner, book.policy, book.plan
    spec, roster = policy.spec, planner.roster
    rows = roster.fresh(now)
    largest = rows[np.argsort(-roster.granted[rows], kind="stable")[:MOST_LISTED]]
    restrained = rows[roster.verdict[rows] != VERDICTS.index("None")][:MOST_LISTED]
    return PolicyFacts(
        policy=policy.key,
        generation=policy.generation,
        mode=spec.mode,
        min=spec.fill_rate.min,
        max=spec.fill_rate.max,
        clients=len(rows),
        terms=plan.terms,
        prediction_bounds=(spec.weights.prediction.min, spec.weights.prediction.max),
        load_weight=spec.weights.load,
        load_weight_growth=planner.shaper.state.growth,
        load_faults=[f"{about} {fault.sentence}" for about, fault in book.load_faults.items()],
        reserved=plan.reserved,
        unknown=book.learning.unknown_at(now),
        held=book.ledger.held.rate,
        pool_rate=plan.pool_rate,
        available=plan.available,
        waiting=len(book.issuer.waiting),
        offered=float(roster.offered[rows].sum()),
        would_wait=float(roster.would_wait[rows].sum()),
        would_refuse=float(roster.would_refuse[rows].sum()),
        held_up_clients=int((_held_up(book, rows) > 0.0).sum()),
        held_up=_most_held_up(book, rows),
        classes=_classes(book, rows),
        top=[_line(book, row) for row in largest.tolist()],
        restrained=[_line(book, row) for row in restrained.tolist()],
        sentence=explain.target_sentence(plan.terms),
    )


def client_facts(book: Book, pod_uid: str, now: float) -> ClientFacts:
    """Raises KeyError when the policy has no such client."""
    member, planner, spec = book.members[pod_uid], book.planner, book.policy.spec
    demand, appraisal, assignment = member.demand, member.appraisal, member.assignment
    row = member.row
    level = book.plan.levels.get(int(planner.roster.group[row]))
    backlog_rate = demand.waiting / spec.report.interval_seconds if demand else 0.0
    heard = now - member.received_at
    return ClientFacts(
        policy=book.policy.key,
        mode=spec.mode,
        client=member.client.name,
        pod_uid=pod_uid,
        workload=member.client.workload,
        class_name=_class_name(book, row),
        is_connected=member.connected,
        heard_seconds=heard if isfinite(heard) else None,
        forecast=member.forecast,
        shadow=appraisal.shadow if appraisal else None,
        shadow_spread=appraisal.shadow_spread if appraisal else None,
        trust=appraisal.trust if appraisal else None,
        skill=appraisal.skill if appraisal else None,
        is_newcomer=appraisal is None or appraisal.is_newcomer,
        believed=demand.request - backlog_rate if demand else None,
        backlog=demand.waiting if demand else 0.0,
        backlog_rate=backlog_rate,
        declared=declared_rate(member.work, now, now + spec.report.interval_seconds),
        request=demand.request if demand else None,
        reactive=demand.reactive if demand else None,
        spread=demand.spread if demand else None,
        priority=member.priority,
        share=level.share * member.priority / level.whole_weight if level and level.whole_weight > 0.0 else None,
        is_short=level is not None and level.is_short,
        planned=planner.planned(member) if planner.is_planned(member) else None,
        rate=member.rate,
        safe_rate=assignment.safe_rate if assignment else 0.0,
        held=book.ledger.accounts[pod_uid].held_at(now).rate if pod_uid in book.ledger.accounts else 0.0,
        burst=assignment.burst if assignment else 0.0,
        lump=assignment.lump_tokens if assignment else 0.0,
        rate_seconds=_left(member.rate_seconds() - heard),
        lease_seconds=_left(member.lease_seconds() - heard),
        offered=float(planner.roster.offered[row]),
        admitted=float(planner.roster.admitted[row]),
        would_wait=float(planner.roster.would_wait[row]),
        would_refuse=float(planner.roster.would_refuse[row]),
        verdict=appraisal.verdict if appraisal else "None",
        anomalies=[AnomalyFacts(a.kind, a.evidence, now - a.since) for a in appraisal.anomalies] if appraisal else [],
        sentence=assignment.reason if assignment else "nothing was granted yet",
    )


def _classes(book: Book, rows: NDArray[np.intp]) -> list[ClassFacts]:
    roster, groups = book.planner.roster, book.planner.groups.all
    group, size = roster.group[rows], len(groups)
    clients = np.bincount(group, minlength=size)
    requests = np.bincount(group, roster.request[rows] + roster.declared[rows], size)
    rates = np.bincount(group, roster.granted[rows], size)
    return [
        ClassFacts(
            name=each.name,
            weight=each.weight,
            floor=each.floor,
            ceiling=each.ceiling if isfinite(each.ceiling) else None,
            clients=int(clients[index]),
            request=float(requests[index]),
            rate=float(rates[index]),
        )
        for index, each in enumerate(groups)
        if clients[index]
    ]


def _line(book: Book, row: int) -> ClientLine:
    roster = book.planner.roster
    member = book.members[roster.uids[row]]
    return ClientLine(
        name=member.client.name,
        class_name=_class_name(book, row),
        request=float(roster.request[row] + roster.declared[row]),
        rate=float(roster.granted[row]),
        trust=member.appraisal.trust if member.appraisal else None,
        priority=member.priority,
        verdict=VERDICTS[int(roster.verdict[row])],
    )


def _class_name(book: Book, row: int) -> str:
    return book.planner.groups.all[int(book.planner.roster.group[row])].name


def _held_up(book: Book, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    return book.planner.roster.would_wait[rows] + book.planner.roster.would_refuse[rows]


def _most_held_up(book: Book, rows: NDArray[np.intp]) -> list[HeldUp]:
    roster, amounts = book.planner.roster, _held_up(book, rows)
    most = [place for place in np.argsort(-amounts, kind="stable")[:MOST_LISTED] if amounts[place] > 0.0]
    return [
        HeldUp(
            book.members[roster.uids[row]].client.name, float(roster.would_wait[row]), float(roster.would_refuse[row])
        )
        for row in rows[most].tolist()
    ]


def _left(seconds: float) -> float:
    return max(seconds, 0.0) if isfinite(seconds) else 0.0
