"""A client's facts as a page: what is believed of it, and what follows for its rate."""

from collections.abc import Iterator

from forefill_operator.explanation.facts import ClientFacts
from forefill_operator.explanation.page import Fact, Page, Step, number, per_cent, spans

# A grant that differs from the plan by less than this part is not worth a line.
SAME = 0.01

_VERDICTS = {
    "None": "nothing",
    "Ignore": "its forecast is not believed",
    "Clamp": "its forecast is not believed, and it gets its safe share at most",
    "Quarantine": "it gets a trickle",
}


def page_of(facts: ClientFacts) -> Page:
    steps = list(_steps(facts))
    observing = [observed(facts)] if facts.mode == "Observe" else []
    return Page(
        title=f"Client {facts.client} of TokenPolicy {facts.policy}",
        facts=list(_facts(facts)),
        steps=steps,
        scale=max((end for _, end in spans(steps)), default=0.0),
        tables=[],
        sentences=[f"{facts.sentence[:1].upper()}{facts.sentence[1:]}.", *observing],
    )


def _facts(facts: ClientFacts) -> Iterator[Fact]:
    workload = f", one of {facts.workload}" if facts.workload else ""
    yield Fact("class", f"{facts.class_name}{workload}")
    heard = "never" if facts.heard_seconds is None else f"{facts.heard_seconds:.1f} s ago"
    away = "" if facts.is_connected else "; its stream is gone"
    yield Fact("heard of", f"{heard}{away}", "Plain" if facts.is_connected else "Bad")
    yield Fact("trust", _trust(facts))
    yield Fact("priority", f"x {facts.priority:.2f}, by how well it forecasts beside the others")
    yield Fact("held against it", _VERDICTS[facts.verdict], "Plain" if facts.verdict == "None" else "Bad")
    for anomaly in facts.anomalies:
        yield Fact("", f"{anomaly.kind} for {anomaly.for_seconds:.0f} s: {anomaly.evidence}", "Bad")
    yield Fact("last window", f"{number(facts.offered)} offered, {number(facts.admitted)} admitted")
    yield Fact("grant", _grant(facts))


def _trust(facts: ClientFacts) -> str:
    if facts.trust is None:
        return "not appraised yet"
    if facts.is_newcomer:
        return f"{facts.trust:.2f}; a newcomer, too early to tell"
    skill = facts.skill or 0.0
    beside = "less" if skill > 0.0 else "more"
    return f"{facts.trust:.2f}; its forecasts cost {per_cent(abs(skill))} {beside} than the operator's own would have"


def _grant(facts: ClientFacts) -> str:
    parts = [f"{number(facts.rate)} for {facts.rate_seconds:.1f} s"]
    safe_seconds = facts.lease_seconds - facts.rate_seconds
    if safe_seconds > 0.0:
        parts.append(f"{number(facts.safe_rate)} for {safe_seconds:.1f} s")
    parts.append("the fallback")
    lump = f", {number(facts.lump)} tokens at once" if facts.lump else ""
    held = f"; {number(facts.held)} counts as held" if facts.held > facts.rate * (1 + 1e-6) else ""
    return f"{', then '.join(parts)}; burst {number(facts.burst)}{lump}{held}"


def _steps(facts: ClientFacts) -> Iterator[Step]:
    if facts.believed is None or facts.request is None:
        return
    yield from _belief(facts, facts.believed)
    if facts.backlog_rate > 0.0:
        yield Step("+ backlog", f"{number(facts.backlog)} tokens wait", facts.backlog_rate)
    if facts.declared > 0.0:
        yield Step("+ declared", "work that it said would come", facts.declared)
    asked = facts.request + facts.declared
    yield Step("= request", "", asked, "Sum")
    if facts.planned is None:
        return
    more = facts.planned - asked
    if abs(more) > 1e-9:
        yield Step("+ surplus" if more > 0.0 else "- shortage", _why(facts, more), more)
    yield Step("= planned", "", facts.planned, "Sum")
    if abs(facts.rate - facts.planned) > SAME * facts.planned:
        how = "until others have acknowledged less" if facts.rate < facts.planned else "until its next report"
        yield Step("> rate", how, facts.rate, "Bound")


def _belief(facts: ClientFacts, believed: float) -> Iterator[Step]:
    if facts.shadow is None:
        how = "its own forecast" if facts.forecast is not None else "what it offered last"
        yield Step("forecast", how, believed)
        return
    yield Step("shadow", "what the operator itself expects of it", facts.shadow)
    if facts.forecast is not None and abs(believed - facts.shadow) > 1e-9:
        how = f"its forecast of {number(facts.forecast)}, as far as it is trusted"
        yield Step("+ trust", how, believed - facts.shadow)


def _why(facts: ClientFacts, more: float) -> str:
    share = f"its share by weight is {number(facts.share)}" if facts.share is not None else ""
    if more > 0.0:
        return "of what nobody asked for" + (
            f", by how uncertain it is ({number(facts.spread)})" if facts.spread else ""
        )
    return f"there is less than all ask for; {share}" if facts.is_short and share else share or "what there is"


def observed(facts: ClientFacts) -> str:
    if facts.would_wait + facts.would_refuse <= 0.0:
        return "Observing: enforcement would not have made it wait in its last window, and refused nothing."
    return (
        f"Observing: of its {number(facts.offered)} tokens/s enforcement would have delayed {number(facts.would_wait)} "
        f"and refused {number(facts.would_refuse)}."
    )
