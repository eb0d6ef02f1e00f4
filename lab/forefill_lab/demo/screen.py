"""Where the demo is shown: a live panel on a terminal, a line every few seconds elsewhere."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live

from forefill_lab.demo import table
from forefill_lab.demo.results import Result
from forefill_lab.demo.sample import Sample

LINE_SAMPLES = 4
WIDEST, PICTURE_COLUMNS = 124, 110

Show = Callable[[Sequence[Sample]], None]


class Screen:
    """Keeps what it showed last of each phase, for the picture."""

    def __init__(self, to_error: bool) -> None:
        self._console = Console(stderr=to_error, highlight=False)
        self._kept: list[Callable[[int], RenderableType]] = []

    @contextmanager
    def phase(self, title: str, seconds: float) -> Iterator[Show]:
        """What it yields shows the samples of a phase so far; what stays is the last measured moment."""
        measured: list[Sample] = []
        with self._live(title, seconds) if self._console.is_terminal else self._lines(title) as show:

            def keep(samples: Sequence[Sample]) -> None:
                measured[:] = [sample for sample in samples if sample.at <= seconds]
                show(samples)

            yield keep
            if measured:
                show(measured)
        if measured:
            self._kept.append(lambda width: table.panel(title, measured, seconds, width))

    @contextmanager
    def _live(self, title: str, seconds: float) -> Iterator[Show]:
        width = min(self._console.width, WIDEST)
        with Live(console=self._console, auto_refresh=False) as live:
            live.update(f"starting {title} ...", refresh=True)
            yield lambda samples: live.update(table.panel(title, samples, seconds, width), refresh=True)

    @contextmanager
    def _lines(self, title: str) -> Iterator[Show]:
        self._console.print(f"starting {title} ...")

        def show(samples: Sequence[Sample]) -> None:
            if len(samples) % LINE_SAMPLES == 0:
                self._console.print(table.line(title, samples[-1]), soft_wrap=True)

        yield show

    def compare(self, results: Mapping[str, Result]) -> None:
        self._console.print(table.comparison(results))
        self._kept.append(lambda width: table.comparison(results))

    def picture(self) -> str:
        """All that was shown, as it was at the end, as SVG."""
        console = Console(record=True, width=PICTURE_COLUMNS, file=io.StringIO(), force_terminal=True)
        for render in self._kept:
            console.print(render(PICTURE_COLUMNS))
        return console.export_svg(title="forefill demo")
