"""How a run is shown: a table of totals, and a progress bar on the terminal."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from forefill_lab.simulator.totals import Totals

Advance = Callable[[], None]


def table(totals: Sequence[Totals]) -> Table:
    """One row a controller."""
    shown = Table(
        title=f"{totals[0].offered:.6g} tokens offered",
        title_style="bold",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    shown.add_column("controller", no_wrap=True)
    for name in ("on time", "dropped", "mean wait", "p95", "used", "over", "worst client"):
        shown.add_column(name, justify="right", no_wrap=True)
    for each in totals:
        shown.add_row(
            each.controller,
            f"{each.on_time_share:.3%}",
            f"{each.dropped:.4g}",
            f"{each.mean_wait_seconds:.3f} s",
            f"{each.wait_p95_seconds:g} s",
            f"{each.capacity_used:.1%}",
            f"{each.over_grant:.3g}/s",
            f"{each.worst_client} {each.worst_on_time_share:.0%}",
        )
    return shown


@contextmanager
def progress(title: str, ticks: int) -> Iterator[Advance]:
    """A bar on standard error while that is a terminal; what it yields is called once a tick."""
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield lambda: None
        return
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn("ticks"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=ticks)
        yield lambda: bar.advance(task)
