"""The memory of both processes over the run, with the lines through its second half."""

from collections.abc import Mapping
from pathlib import Path

from forefill_lab.soak.run import Soak
from forefill_lab.soak.slope import Slope

COLOURS = ("#1f3b57", "#c8553d")
MB = 1e6


def draw(soak: Soak, slopes: Mapping[str, Slope], path: Path) -> None:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    for colour, (process, samples) in zip(COLOURS, soak.resident.items(), strict=True):
        minutes, megabytes = [s.at / 60 for s in samples if s.value], [s.value / MB for s in samples if s.value]
        axes.plot(minutes, megabytes, color=colour, linewidth=0.9, label=process)
        half = soak.second_half(process)
        if half:
            centre = sum(s.at for s in half) / len(half), sum(s.value for s in half) / len(half)
            ends = half[0].at, half[-1].at
            line = [(centre[1] + slopes[process].mean * (end - centre[0])) / MB for end in ends]
            axes.plot([end / 60 for end in ends], line, color=colour, linewidth=2.0, alpha=0.5)
    for number, at in enumerate(soak.restarts):
        axes.axvline(at / 60, color="grey", linewidth=0.8, linestyle=":", label=None if number else "operator killed")
    axes.set(xlabel="minutes", ylabel="resident memory, MB", ylim=(0.0, None))
    axes.legend(loc="lower right", frameon=False, ncols=3)
    # The same run gives the same file.
    with rc_context({"svg.hashsalt": "forefill"}):
        figure.savefig(path, metadata={"Date": None})
