"""A policy's facts as a page: how the fill rate came about, and who gets what of it."""

from collections.abc import Iterator, Sequence

from forefill_operator.explanation.facts import ClassFacts, ClientLine, PolicyFacts
from forefill_operator.explanation.page import Fact, Page, Step, Table, number, per_cent, spans
from forefill_operator.shaping import Clamp, Load

_BOUNDS: dict[Clamp, tuple[str, str]] = {
    "Min": ("min", "raised to fillRate.min"),
    "Max": ("max", "cut to fillRate.max"),
    "Ceiling": ("ceiling", "cut to what the upstream has shown to be good for"),
}
# More clients that would wait are not named in a sentence.
MOST_NAMED = 3


def page_of(facts: PolicyFacts) -> Page:
    steps = list(_steps(facts))
    return Page(
        title=f"TokenPolicy {facts.policy}",
        facts=list(_facts(facts)),
        steps=steps,
        scale=max(end for _, end in spans(steps)),
        tables=list(_tables(facts)),
        sentences=[sentence(facts), *([observed(facts)] if facts.mode == "Observe" else [])],
    )


def _facts(facts: PolicyFacts) -> Iterator[Fact]:
    is_observing = facts.mode == "Observe"
    delays = ": nothing is delayed or refused" if is_observing else ""
    yield Fact("mode", f"{facts.mode}{delays}, generation {facts.generation}")
    yield load_fact(facts.terms.load, facts.load_faults)
    for fault in facts.load_faults:
        yield Fact("", fault, "Bad")
    if facts.load_weight_growth > 1.0:
        text = f"above its threshold: the weight of load counts x {number(facts.load_weight_growth)}"
        yield Fact("latency", text, "Bad")
    waiting = f", {facts.waiting} of them waiting for others to give way" if facts.waiting else ""
    yield Fact("clients", f"{facts.clients}{waiting}")
    unknown = f", {number(facts.unknown)} of it by clients that have not spoken yet" if facts.unknown else ""
    text = f"{number(facts.held + facts.unknown)} of max {number(facts.max)}{unknown}"
    yield Fact("held", text, "Bad" if facts.held + facts.unknown > facts.max * (1 + 1e-9) else "Plain")


def load_fact(load: Load | None, faults: Sequence[str]) -> Fact:
    if load is None:
        return Fact("load", "unknown" if faults else "not measured", "Bad" if faults else "Plain")
    parts = f"CPU {load.cpu:.2f}, memory {load.memory:.2f}, network {load.network:.2f}"
    age = "" if load.state == "Known" else f", {load.age_seconds:.0f} s old"
    return Fact("load", f"{load.mean:.2f} ({parts}), {load.state}{age}", "Plain" if load.state == "Known" else "Bad")


def _steps(facts: PolicyFacts) -> Iterator[Step]:
    terms = facts.terms
    low, high = facts.prediction_bounds
    yield Step("base", "fillRate.base", terms.base)
    how = f"{number(terms.predicted_total)} predicted x {number(terms.weight_prediction)} (of {low:g} to {high:g})"
    yield Step("+ prediction", how, terms.predicted_total * terms.weight_prediction)
    if terms.load is not None:
        how = f"{terms.load.mean:.2f} x {number(terms.weight_load)} (of {number(facts.load_weight)} by the thresholds)"
        yield Step("+ load", how, terms.load.mean * terms.weight_load)
    yield Step("= target", "", terms.target, "Sum")
    if terms.clamp in _BOUNDS:
        name, how = _BOUNDS[terms.clamp]
        yield Step(f"> {name}", how, terms.adjusted, "Bound")
    if terms.lent > 0.0:
        yield Step("+ lent", "while the upstream idles", terms.lent)
    if terms.clamp in _BOUNDS or terms.lent > 0.0:
        yield Step("= handed out", "", terms.handed_out, "Sum")
    if terms.handed_out > facts.available:
        how = f"{number(facts.reserved)} may be held by clients that fell silent"
        yield Step("- reserved", how, facts.available - terms.handed_out)
    if facts.pool_rate > 0.0:
        yield Step("- pool", "tokens at hand for early reports", -facts.pool_rate)
        yield Step("= divided", f"among {facts.clients} clients", facts.available - facts.pool_rate, "Sum")


def _tables(facts: PolicyFacts) -> Iterator[Table]:
    whole = max(facts.available - facts.pool_rate, 1e-9)
    if facts.classes:
        columns = ["class", "clients", "weight", "floor", "ceiling", "asks for", "runs at"]
        shares = [min(each.rate / whole, 1.0) for each in facts.classes]
        yield Table("Classes", columns, [_class_row(each) for each in facts.classes], shares=shares)
    if facts.top:
        shares = [min(each.rate / whole, 1.0) for each in facts.top]
        title = (
            f"The largest {len(facts.top)} of {facts.clients} clients" if len(facts.top) < facts.clients else "Clients"
        )
        yield Table(title, _CLIENT_COLUMNS, [_client_row(each) for each in facts.top], 2, shares)
    if facts.restrained:
        rows = [[each.verdict, *_client_row(each)] for each in facts.restrained]
        yield Table("Restrained (--client tells why)", ["verdict", *_CLIENT_COLUMNS], rows, 3)


_CLIENT_COLUMNS = ["client", "class", "asks for", "runs at", "trust", "priority"]


def _class_row(each: ClassFacts) -> list[str]:
    ceiling = "-" if each.ceiling is None else number(each.ceiling)
    amounts = [number(each.weight), number(each.floor), ceiling, number(each.request), number(each.rate)]
    return [each.name, str(each.clients), *amounts]


def _client_row(each: ClientLine) -> list[str]:
    trust = "-" if each.trust is None else f"{each.trust:.2f}"
    amounts = [number(each.request), number(each.rate), trust, f"{each.priority:.2f}"]
    return [each.name, each.class_name, *amounts]


def sentence(facts: PolicyFacts) -> str:
    """What a person would say of it."""
    terms = facts.terms
    if not facts.clients:
        return f"Nobody is connected; {number(terms.handed_out)} tokens/s are there for the first."
    asked = f"{facts.clients} clients ask for {number(terms.requested)} tokens/s"
    given = facts.available - facts.pool_rate
    if terms.requested > given * (1 + 1e-6):
        return f"{asked} and can have {number(given)}, {_why_not_more(facts)}."
    return f"{asked} and can have all of it: there are {number(given)} to divide{_why_that_much(facts)}."


def _why_not_more(facts: PolicyFacts) -> str:
    if facts.available < facts.terms.handed_out * (1 - 1e-9):
        return f"since {number(facts.reserved)} may still be held by clients that fell silent"
    return {
        "Max": "which is all that fillRate.max allows",
        "Ceiling": "since the upstream has too much to do",
        "Min": "which fillRate.min guarantees",
        "None": "which is what base and load leave of the prediction",
    }[facts.terms.clamp]


def _why_that_much(facts: PolicyFacts) -> str:
    if facts.terms.lent > 0.0:
        return f", {number(facts.terms.lent)} of them lent while the upstream idles"
    return ", since load takes some" if facts.terms.load is not None and facts.terms.weight_load < 0.0 else ""


def observed(facts: PolicyFacts) -> str:
    """What enforcement would have done in the last windows."""
    if facts.would_wait + facts.would_refuse <= 0.0:
        return "Observing: enforcement would have made nobody wait in the last windows, and refused nothing."
    named = [
        f"{each.name} {number(each.would_wait)} and {number(each.would_refuse)}" for each in facts.held_up[:MOST_NAMED]
    ]
    others = facts.held_up_clients - len(named)
    return (
        f"Observing: of {number(facts.offered)} tokens/s in the last windows enforcement would have delayed "
        f"{_share(facts.would_wait, facts.offered)} and refused {_share(facts.would_refuse, facts.offered)}: "
        f"of {', of '.join(named)}{f', and of {others} more' if others > 0 else ''}."
    )


def _share(part: float, whole: float) -> str:
    return f"{number(part)} ({per_cent(part / whole)})" if whole > 0.0 else number(part)
