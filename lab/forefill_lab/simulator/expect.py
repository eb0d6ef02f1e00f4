"""Work that clients know of beforehand: EXPECT.csv. Pure: lines to values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from forefill_lab.simulator.demand import LARGEST, Demand, Unusable, number, rows

COLUMNS = ("known_at", "t", "client", "tokens")


@dataclass(frozen=True)
class Declaration:
    """At `known_at` of the run the client declares `tokens`, spread evenly over `seconds` from `starts_at` on."""

    known_at: float
    client: int
    starts_at: float
    seconds: float
    tokens: float


def read(lines: Iterable[str], demand: Demand) -> list[Declaration]:
    """One declaration for each run of ticks that a client came to know of at one moment. Raises Unusable."""
    indices = {name: index for index, name in enumerate(demand.clients)}
    found: dict[tuple[float, int], list[tuple[float, float]]] = {}
    for line, (known, time, name, tokens) in rows(lines, COLUMNS):
        known_at, at = number(line, "known_at", known, -LARGEST), number(line, "t", time, -LARGEST)
        if name not in indices:
            raise Unusable(f"line {line}: the demand has no client {name!r}")
        if known_at > at:
            raise Unusable(f"line {line}: known_at is {known_at:g}, but must not be after t, which is {at:g}")
        amount = number(line, "tokens", tokens)
        found.setdefault((known_at - demand.start, indices[name]), []).append((at - demand.start, amount))
    return [
        Declaration(known_at, client, start, seconds, tokens)
        for (known_at, client), parts in sorted(found.items())
        for start, seconds, tokens in _runs(sorted(parts), demand.step)
    ]


def _runs(parts: Sequence[tuple[float, float]], step: float) -> list[tuple[float, float, float]]:
    """Neighbouring ticks with the same tokens, joined: start, seconds, tokens in all."""
    joined: list[tuple[float, float, float, float]] = []
    for time, tokens in parts:
        if joined:
            start, seconds, total, each = joined[-1]
            if tokens == each and abs(time - (start + seconds)) < 1e-6 * step:
                joined[-1] = start, seconds + step, total + tokens, each
                continue
        joined.append((time, step, tokens, tokens))
    return [(start, seconds, total) for start, seconds, total, _ in joined]
