"""What the terminal shows: a panel a phase while it runs, and the comparison at the end. From values to renderables."""

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from forefill_lab.demo.fleet import CAPACITY
from forefill_lab.demo.results import ON_TIME_SECONDS, Result
from forefill_lab.demo.sample import Reading, Sample

BLOCKS = " ▁▂▃▄▅▆▇█"
# Demand and fill rate are drawn on one scale, which ends at this part of the capacity.
TOP = 0.7 * CAPACITY
COLOURS = {"chat": "cyan", "shop": "magenta", "jobs": "yellow"}
FINE, SHORT, FILL, QUIET = "green", "bold red", "blue", "dim"


def panel(title: str, samples: Sequence[Sample], seconds: float, width: int) -> RenderableType:
    """The phase at its newest sample, with as much of its past as `width` columns hold."""
    cells = max(10, min(64, width - 68))
    shown, newest = samples[-cells:], samples[-1]
    table = Table(box=None, expand=False, padding=(0, 1), header_style=QUIET)
    table.add_column("client", no_wrap=True)
    table.add_column("demand, fill rate", width=cells, no_wrap=True)
    for name in ("offered", "fill rate", "forecast", "served", "waiting", "429s"):
        table.add_column(name, justify="right", no_wrap=True)
    for index, reading in enumerate(newest.readings):
        _add_client(table, reading, [sample.readings[index] for sample in shown])
    _add_total(table, newest, cells)
    legend = Text.assemble(
        ("█", FINE),
        " demand  ",
        ("█", SHORT),
        " demand that waits  ",
        ("█", FILL),
        " fill rate of the sidecar",
        style=QUIET,
    )
    clock = _clock(newest.at, seconds)
    return Panel(
        Group(table, Text(), legend), title=Text(title, "bold"), title_align="left", subtitle=clock, width=width
    )


def _add_client(table: Table, reading: Reading, past: Sequence[Reading]) -> None:
    numbers: list[str | Text] = [
        rate(reading.offered_rate),
        rate(reading.fill_rate),
        "-" if reading.forecast is None else rate(reading.forecast),
        rate(reading.served_rate),
        Text(str(reading.waiting), SHORT if reading.waiting else QUIET),
        Text(str(reading.rejected), SHORT if reading.rejected else QUIET),
    ]
    table.add_row(Text(reading.name, COLOURS.get(reading.name, "")), demand_line(past), *numbers)
    table.add_row("", Text(blocks([each.fill_rate for each in past]), FILL))
    table.add_row()


def _add_total(table: Table, newest: Sample, cells: int) -> None:
    readings = newest.readings
    forecasts = [reading.forecast for reading in readings if reading.forecast is not None]
    table.add_row(
        "in use",
        used_bar(newest.served_rate, cells),
        rate(sum(reading.offered_rate for reading in readings)),
        rate(sum(reading.fill_rate for reading in readings)),
        rate(sum(forecasts)) if forecasts else "-",
        rate(newest.served_rate),
        str(sum(reading.waiting for reading in readings)),
        str(sum(reading.rejected for reading in readings)),
        style="bold",
    )


def demand_line(past: Sequence[Reading]) -> Text:
    """Red where requests waited or were refused."""
    line = Text()
    before: Reading | None = None
    for reading in past:
        is_short = reading.waiting > 0 or (before is not None and reading.rejected > before.rejected)
        line.append(blocks([reading.offered_rate]), SHORT if is_short else FINE)
        before = reading
    return line


def blocks(rates: Sequence[float]) -> str:
    """A block a rate; a rate above 0 shows as at least the smallest one."""
    full = len(BLOCKS) - 1
    heights = [min(full, max(int(full * rate / TOP + 0.5), 1 if rate > 0.5 else 0)) for rate in rates]
    return "".join(BLOCKS[height] for height in heights)


def used_bar(served_rate: float, width: int) -> Text:
    """The part of the upstream's capacity that is in use, and that part in per cent."""
    part = served_rate / CAPACITY
    percent = f" {part:4.0%}"
    room = width - len(percent)
    filled = min(round(part * room), room)
    return Text.assemble(("━" * filled, FINE), ("━" * (room - filled), "grey30"), percent)


def _clock(at: float, seconds: float) -> Text:
    if at < 0.0:
        return Text(f"warming up, {-at:.0f} s", QUIET)
    return Text(f"{at:.0f} of {seconds:g} s" if at <= seconds else "waiting for the last answers", QUIET)


def rate(value: float) -> str:
    return f"{value:.0f}/s"


def line(title: str, sample: Sample) -> str:
    """One sample as a line of text, for what is no terminal."""
    clients = [
        f"{reading.name} {reading.offered_rate:.0f}/s of {reading.fill_rate:.0f}/s"
        f" ({reading.waiting} waiting, {reading.rejected} refused)"
        for reading in sample.readings
    ]
    return f"{title} {sample.at:5.1f} s: {', '.join(clients)}; {sample.served_rate:.0f} of {CAPACITY:.0f}/s used"


def comparison(results: Mapping[str, Result]) -> Table:
    """Both phases side by side, the better figure of each row in green."""
    static, forefill = results["static"], results["forefill"]
    table = Table(title="same requests, same capacity", title_style="bold", header_style="bold")
    table.add_column("")
    table.add_column("static", justify="right")
    table.add_column("Forefill", justify="right")
    rows = (
        (f"requests on time (waited < {ON_TIME_SECONDS:g} s)", static.on_time_share, forefill.on_time_share, _share, 1),
        ("waiting, 95th percentile", static.wait_p95_seconds, forefill.wait_p95_seconds, _seconds, -1),
        ("answered 429", static.rejected, forefill.rejected, _count, -1),
        ("capacity used", static.capacity_used, forefill.capacity_used, _share, 1),
        ("handed out beyond the capacity", static.over_grant, forefill.over_grant, rate, -1),
    )
    for name, left, right, words, sign in rows:
        better = sign * (right - left)
        table.add_row(
            name,
            Text(words(left), FINE if better < 0 else ""),
            Text(words(right), f"bold {FINE}" if better > 0 else ""),
        )
    table.add_row("requests offered", str(static.offered), str(forefill.offered), style=QUIET)
    return table


def _share(value: float) -> str:
    return f"{value:.1%}"


def _seconds(value: float) -> str:
    return f"{value:.2f} s"


def _count(value: float) -> str:
    return f"{value:.0f}"
