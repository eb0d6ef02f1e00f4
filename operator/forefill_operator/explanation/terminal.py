"""A page on a terminal: the sum as a waterfall, shares as bars, what is wrong in red."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table as Grid
from rich.text import Text

from forefill_operator.explanation.page import Page, Step, Table, number, signed, spans

EIGHTHS = " ▏▎▍▌▋▊▉█"
ADDS, TAKES, STANDS, CUTS, QUIET = "green", "red", "cyan", "yellow", "bright_black"
TONES = {"Plain": "", "Good": ADDS, "Bad": f"bold {TAKES}"}
BAR_CELLS, SHARE_CELLS = 40, 20


def render(page: Page, width: int) -> RenderableType:
    """`width` of the terminal in cells: bars get what the words leave."""
    return Panel(
        Group(*_parts(page, max(min(BAR_CELLS, width - 62), 8))),
        title=Text(page.title, "bold"),
        title_align="left",
        border_style=QUIET,
        width=min(width, 132),
        padding=(1, 2),
    )


def _parts(page: Page, cells: int) -> Iterator[RenderableType]:
    facts = Grid.grid(padding=(0, 2))
    for fact in page.facts:
        facts.add_row(Text(fact.name, QUIET), Text(fact.text, TONES[fact.tone]))
    yield facts
    if page.steps:
        yield Text()
        yield _waterfall(page, cells)
    for table in page.tables:
        yield Text()
        yield Text(table.title, "bold")
        yield _grid(table)
    for sentence in page.sentences:
        yield Text()
        yield Text(sentence, "italic")


def _waterfall(page: Page, cells: int) -> Grid:
    grid = Grid.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column(style=QUIET)
    grid.add_column(justify="right")
    grid.add_column()
    for step, (begins, ends) in zip(page.steps, spans(page.steps), strict=True):
        style = _style(step)
        shown = signed(step.value) if step.kind == "Term" else number(step.value)
        weight = "bold" if step.kind == "Sum" else ""
        grid.add_row(
            Text(step.name, weight),
            step.how,
            Text(shown, weight or style),
            Text(bar(begins, ends, page.scale, cells), style),
        )
    return grid


def _style(step: Step) -> str:
    if step.kind == "Sum":
        return STANDS
    return CUTS if step.kind == "Bound" else ADDS if step.value >= 0 else TAKES


def _grid(table: Table) -> Grid:
    grid = Grid(box=None, padding=(0, 2, 0, 0), header_style=QUIET, pad_edge=False)
    for index, name in enumerate(table.columns):
        grid.add_column(name, justify="left" if index < table.texts else "right", no_wrap=index >= table.texts)
    if table.shares:
        grid.add_column("")
    for index, row in enumerate(table.rows):
        bars = [Text(bar(0.0, table.shares[index], 1.0, SHARE_CELLS), STANDS)] if table.shares else []
        grid.add_row(*row, *bars)
    return grid


def bar(begins: float, ends: float, scale: float, cells: int) -> str:
    """Blocks from `begins` to `ends`, to an eighth of a cell at the end; anything above 0 shows."""
    if scale <= 0.0 or ends <= begins:
        return ""
    first = int(min(max(begins / scale, 0.0), 1.0) * cells)
    last = min(max(ends / scale, 0.0), 1.0) * cells
    eighths = max(round((last - first) * 8), 1)
    return " " * first + EIGHTHS[8] * (eighths // 8) + EIGHTHS[eighths % 8].strip()
