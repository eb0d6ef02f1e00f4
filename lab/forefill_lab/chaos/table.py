"""What came of the faults, as a table for people and for docs/reliability.md."""

from collections.abc import Sequence
from dataclasses import dataclass

MARK = "faults"


@dataclass(frozen=True)
class Outcome:
    """`skipped` says why a fault was not played. `recovered` is None when it was not over in time."""

    fault: str
    seen: str
    over_grant: float = 0.0
    failed: int = 0
    spared: int = 0
    requests: int = 0
    recovered: float | None = None
    skipped: str = ""
    notes: str = ""

    @property
    def passed(self) -> bool:
        return bool(self.skipped) or (self.over_grant == 0.0 and self.failed == 0 and self.recovered is not None)


def markdown(outcomes: Sequence[Outcome]) -> str:
    rows = [
        "| fault | over-grant, tokens/s | requests failed by us | whole again after | what users see |",
        "| --- | ---: | ---: | ---: | --- |",
        *(_row(outcome) for outcome in outcomes),
    ]
    return "\n".join(rows)


def _row(outcome: Outcome) -> str:
    if outcome.skipped:
        return f"| {outcome.fault} | | | | not played: {outcome.skipped} |"
    failed = f"{outcome.failed} of {outcome.requests:,}"
    if outcome.spared:
        failed += f", and {outcome.spared} of the pod that it hit"
    after = "not in time" if outcome.recovered is None else f"{outcome.recovered:.1f} s"
    return f"| {outcome.fault} | {outcome.over_grant:g} | {failed} | {after} | {outcome.seen} |"


def written_into(document: str, text: str, mark: str = MARK) -> str:
    """The document with the text between its marks. Raises ValueError when it has none."""
    begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    head, began, rest = document.partition(begin)
    _, ended, tail = rest.partition(end)
    if not began or not ended:
        raise ValueError(f"the document has no {begin} … {end}")
    return f"{head}{begin}\n{text}\n{end}{tail}"
