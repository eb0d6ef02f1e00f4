"""Forecasts as a picture. matplotlib is imported when one is drawn: the sidecar's image does not have it."""

from collections.abc import Sequence
from pathlib import Path

from forefill_sidecar.scoring import Scored

LONGEST = 600


def draw(rows: Sequence[Scored], path: Path, title: str) -> None:
    """The one-window forecasts of the last LONGEST rows over what came. ModuleNotFoundError without matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [row for row in rows if row.horizon == 1][-LONGEST:]
    steps = [row.step for row in shown]
    figure = Figure(figsize=(11.0, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    p50, p95 = [row.forecast.p50 for row in shown], [row.forecast.p95 for row in shown]
    axes.fill_between(steps, p50, p95, color="#f2a65a", alpha=0.45, linewidth=0, label="p50 to p95, one window ahead")
    axes.plot(steps, [row.actual for row in shown], color="#1f3b57", linewidth=0.9, label="actual")
    axes.plot(steps, [row.forecast.mean for row in shown], color="#c8553d", linewidth=1.2, label="mean")
    axes.set(title=title, xlabel="row", ylim=(0.0, None))
    axes.margins(x=0.0)
    axes.legend(loc="upper left", frameon=False, ncols=3)
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
