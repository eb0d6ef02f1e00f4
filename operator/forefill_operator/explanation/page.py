"""What a person is shown, as a value: facts, the steps of a sum, tables and sentences; and as plain text."""

from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

# Term: adds to what stands above it. Sum: what stands there now. Bound: what it is cut or raised to.
StepKind = Literal["Term", "Sum", "Bound"]
Tone = Literal["Plain", "Good", "Bad"]


class Fact(Struct, frozen=True):
    name: str
    text: str
    tone: Tone = "Plain"


class Step(Struct, frozen=True):
    """`value` in tokens/s; `how` says what it is made of. A Term's bar begins where the one above it ends."""

    name: str
    how: str
    value: float
    kind: StepKind = "Term"


class Table(Struct, frozen=True):
    """Cells as text; columns after the first `texts` are numbers. `shares` in [0, 1] draw a bar a row."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1
    shares: Sequence[float] = ()


class Page(Struct, frozen=True):
    """`scale` is what a bar over the whole width stands for, tokens/s."""

    title: str
    facts: Sequence[Fact]
    steps: Sequence[Step]
    scale: float
    tables: Sequence[Table]
    sentences: Sequence[str]


def plain(page: Page) -> str:
    """For pipes and logs: the same words and numbers without colours and bars."""
    return "\n".join(_lines(page)) + "\n"


def _lines(page: Page) -> Iterator[str]:
    yield page.title
    width = max((len(fact.name) for fact in page.facts), default=0)
    for fact in page.facts:
        yield f"  {fact.name:<{width}}  {fact.text}"
    if page.steps:
        yield ""
        yield from _aligned([[step.name, step.how, number(step.value)] for step in page.steps], texts=2)
    for table in page.tables:
        yield ""
        yield table.title
        yield from _aligned([table.columns, *table.rows], table.texts)
    if page.sentences:
        yield ""
        yield from page.sentences


def _aligned(rows: Sequence[Sequence[str]], texts: int) -> Iterator[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            f"{cell:<{width}}" if index < texts else f"{cell:>{width}}"
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield f"  {'  '.join(cells)}".rstrip()


def number(value: float) -> str:
    """Four digits, and no sign of a zero."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value + 0.0:.4g}"


def signed(value: float) -> str:
    return f"+{number(value)}" if value > 0 else number(value)


def per_cent(share: float) -> str:
    return f"{100 * share:.3g} %"


def spans(steps: Sequence[Step]) -> Iterator[tuple[float, float]]:
    """Where each step's bar begins and ends, tokens/s."""
    at = 0.0
    for step in steps:
        if step.kind == "Term":
            yield min(at, at + step.value), max(at, at + step.value)
            at += step.value
        else:
            yield 0.0, step.value
            at = step.value
