"""One policy in numbers, for metrics."""

from math import fsum

from msgspec import Struct

from forefill_operator.book import Book


class Figures(Struct, frozen=True):
    """Tokens/s where not a count. `granted` sums the newest grants of live clients, `held` all that anybody may use.

    `held` includes `unknown`, what clients of an earlier operator may hold; between two plans it may count what has
    fallen by itself. `over_grant` is what of it exceeds max. `waiting` counts clients whose raise waits for others.
    """

    clients: int
    granted: float
    held: float
    held_safe: float
    unknown: float
    over_grant: float
    max: float
    target: float
    adjusted: float
    available: float
    predicted_total: float
    weight_prediction: float
    waiting: int


def figures_of(book: Book, now: float) -> Figures:
    unknown, highest = book.learning.unknown_at(now), book.policy.spec.fill_rate.max
    held, terms = book.ledger.held, book.plan.terms
    live = [member.rate for member in book.members.values() if member.is_live(now)]
    return Figures(
        clients=len(live),
        granted=fsum(live),
        held=held.rate + unknown,
        held_safe=held.safe_rate,
        unknown=unknown,
        over_grant=max(held.rate + unknown - highest, 0.0),
        max=highest,
        target=terms.target,
        adjusted=terms.adjusted,
        available=book.plan.available,
        predicted_total=terms.predicted_total,
        weight_prediction=terms.weight_prediction,
        waiting=len(book.issuer.waiting),
    )
