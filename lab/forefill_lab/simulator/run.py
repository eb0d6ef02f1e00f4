"""One run: the ticks of a demand under a controller, and what is written down of each."""

from collections.abc import Callable, Iterator, Sequence

from forefill_lab.simulator.controllers.base import Controller
from forefill_lab.simulator.demand import Demand
from forefill_lab.simulator.flow import Flow
from forefill_lab.simulator.timeline import Timeline

# Called at the end of each tick with its number and the clients whose flows may have moved in it.
Watch = Callable[[int, set[int]], None]


def run(demand: Demand, timeline: Timeline, controller: Controller, watches: list[Watch]) -> Iterator[int]:
    """Advance tick by tick; yields the number of each tick that is over."""
    present: dict[int, Flow] = {}
    joining, leaving = _by_tick(demand.joins), _by_tick(demand.leaves)
    busy: set[int] = set()
    going: set[int] = set()
    for tick in range(demand.ticks):
        timeline.run_until(tick * timeline.step)
        timeline.tick = tick
        for client in [each for each in going if not present[each].queue]:
            going.discard(client)
            controller.leave(client)
        for client in joining.get(tick, ()):
            controller.join(client)
            present[client] = controller.flow(client)
        amounts = demand.tokens[tick]
        for client in amounts.nonzero()[0].tolist():
            controller.arrive(client, float(amounts[client]))
            busy.add(client)
        controller.open()
        timeline.run_until((tick + 1) * timeline.step)
        controller.settle()
        for client in busy:
            flow = present[client]
            if flow.queue:
                flow.serve(flow.clock())
        for watch in watches:
            watch(tick, busy)
        for client in busy:
            present[client].begin_tick()
        going.update(leaving.get(tick, ()))
        busy = {client for client in busy if present[client].queue}
        yield tick


def _by_tick(moments: Sequence[int]) -> dict[int, list[int]]:
    groups: dict[int, list[int]] = {}
    for client, tick in enumerate(moments):
        groups.setdefault(tick, []).append(client)
    return groups
