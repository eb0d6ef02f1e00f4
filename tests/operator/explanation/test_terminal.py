import io
from pathlib import Path

import pytest
from rich.console import Console

from forefill_operator.explanation import terminal
from forefill_operator.explanation.page import Fact, Page, Step, Table

GOLDEN = Path(__file__).parent / "golden"
PAGE = Page(
    title="TokenPolicy ai/llm",
    facts=[Fact("mode", "Enforce"), Fact("load", "Held, 0.42 of 1", "Bad")],
    steps=[
        Step("base", "", 50.0),
        Step("predicted", "70 x 1.04", 72.8),
        Step("load", "0.42 x -100", -42.0),
        Step("target", "", 80.8, "Sum"),
        Step("ceiling", "what protects the upstream", 60.0, "Bound"),
    ],
    scale=100.0,
    tables=[
        Table("Clients", ["client", "class", "rate"], [["ai/web-0", "batch", "40"], ["ai/w", "", "9.5"]], 2, [0.8, 0.2])
    ],
    sentences=["All in all 60 tokens/s."],
)


def drawn(page: Page, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, legacy_windows=False)
    console.print(terminal.render(page, width))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


@pytest.mark.parametrize("width", [110, 60])
def test_a_page_is_drawn_as_it_was_approved(width: int) -> None:
    assert drawn(PAGE, width) == (GOLDEN / f"page-{width}.txt").read_text()


@pytest.mark.parametrize(
    ("begins", "ends", "blocks"),
    [
        (0.0, 100.0, "██████████"),
        (0.0, 50.0, "█████"),
        (0.0, 55.0, "█████▌"),
        (50.0, 100.0, "     █████"),
        (0.0, 0.001, "▏"),
        (0.0, 0.0, ""),
        (-50.0, 20.0, "██"),
        (0.0, 1000.0, "██████████"),
    ],
)
def test_a_bar_is_drawn_to_an_eighth_of_a_cell(begins: float, ends: float, blocks: str) -> None:
    assert terminal.bar(begins, ends, 100.0, 10) == blocks


def test_without_a_scale_there_is_no_bar() -> None:
    assert terminal.bar(0.0, 5.0, 0.0, 10) == ""
