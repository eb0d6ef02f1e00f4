"""A run as a picture: demand, rates and waiting over time, and how late each client's tokens were."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forefill_lab.simulator.controllers.base import Controller, Scene
from forefill_lab.simulator.totals import Recorder

DEMAND, GRANTED, SERVED, WAITING = "#1f3b57", "#c8553d", "#f2a65a", "#8a4f7d"
MOST_CLIENTS = 40
MOST_POINTS = 1000


class Curves:
    """Watches a run: sums over the clients, by tick."""

    def __init__(self, scene: Scene, controller: Controller) -> None:
        self._scene = scene
        self._controller = controller
        self.offered: list[float] = []
        self.granted: list[float] = []
        self.served: list[float] = []
        self.waiting: list[float] = []
        self.capacity: list[float] = []

    def __call__(self, tick: int, busy: set[int]) -> None:
        step, joins = self._scene.timeline.step, self._scene.demand.joins
        flows = [self._controller.flow(client) for client in busy]
        self.offered.append(sum(flow.offered for flow in flows) / step)
        self.served.append(sum(flow.on_time + flow.late for flow in flows) / step)
        self.waiting.append(sum(flow.waiting for flow in flows))
        self.granted.append(sum(self._controller.granted(each) for each, at in enumerate(joins) if at <= tick))
        self.capacity.append(self._scene.capacity(self._scene.timeline.now - step))


def draw(curves: Curves, recorder: Recorder, scene: Scene, title: str, path: Path) -> None:
    """PNG or SVG by the path's suffix. ModuleNotFoundError without matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 8.0), layout="constrained")
    FigureCanvasAgg(figure)
    rates, waiting, clients = figure.subplots(3, 1, height_ratios=(3, 1.4, 1.4))
    group = max(1, len(curves.offered) // MOST_POINTS)
    times = scene.demand.start + scene.demand.step * group * np.arange(len(_means(curves.offered, group)))
    rates.plot(times, _means(curves.offered, group), color=DEMAND, linewidth=0.9, label="demand")
    rates.plot(times, _means(curves.served, group), color=SERVED, linewidth=0.9, label="served")
    rates.plot(times, _means(curves.granted, group), color=GRANTED, linewidth=1.2, label="all rates")
    rates.plot(times, _means(curves.capacity, group), color="black", linewidth=0.8, linestyle=":", label="max")
    rates.set(title=title, ylabel="tokens/s", ylim=(0.0, None))
    rates.legend(loc="upper left", frameon=False, ncols=4)
    waiting.fill_between(times, _means(curves.waiting, group), color=WAITING, linewidth=0.0)
    waiting.set(ylabel="tokens waiting", xlabel="t", ylim=(0.0, None))
    for axes in (rates, waiting):
        axes.margins(x=0.0)
    late = recorder.lateness()[:MOST_CLIENTS]
    clients.bar([name for name, _ in late], [100 * share for _, share in late], color=GRANTED)
    clients.set(ylabel="not on time, %", ylim=(0.0, max(1.0, *(105 * share for _, share in late))))
    clients.tick_params(axis="x", rotation=90, labelsize=7)
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)


def _means(values: list[float], group: int) -> NDArray[np.float64]:
    """Means of `group` neighbours; what is left over at the end is left out."""
    whole = len(values) // group * group
    means: NDArray[np.float64] = np.asarray(values[:whole]).reshape(-1, group).mean(axis=1)
    return means
