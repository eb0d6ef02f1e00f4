"""TICKS.csv: a row a tick and client."""

from collections.abc import Sequence
from typing import TextIO

from forefill_lab.simulator.controllers.base import Controller
from forefill_lab.simulator.demand import Demand

HEADER = "t,client,offered,granted,served_on_time,served_late,dropped,waiting,forecast,trust,priority\n"
_LINE = "{},{:.10g},{:.10g},{:.10g},{:.10g},{:.10g},{:.10g},{:.10g},{:.6g},{:.6g}\n"


class Ticks:
    """Writes every client that is there in the tick, clients in the demand's order."""

    def __init__(self, file: TextIO, demand: Demand, controller: Controller) -> None:
        self._file = file
        self._demand = demand
        self._controller = controller
        self._names = [_quoted(name) for name in demand.clients]
        self._idle: dict[int, tuple[tuple[float, ...], str]] = {}
        file.write(HEADER)

    def __call__(self, tick: int, busy: set[int]) -> None:
        time = f"{self._demand.start + tick * self._demand.step:.10g},"
        joins, leaves = self._demand.joins, self._demand.leaves
        there = [
            client
            for client in range(len(joins))
            if joins[client] <= tick and (tick <= leaves[client] or client in busy)
        ]
        self._file.writelines([time + self._row(client, client in busy) for client in there])

    def _row(self, client: int, is_busy: bool) -> str:
        controller, name = self._controller, self._names[client]
        granted, outlook = controller.granted(client), controller.outlook(client)
        if is_busy:
            f = controller.flow(client)
            return _line(name, (f.offered, granted, f.on_time, f.late, f.dropped, f.waiting, *outlook))
        values = (granted, *outlook)
        kept = self._idle.get(client)
        if kept is None or kept[0] != values:
            kept = self._idle[client] = values, _line(name, (0.0, granted, 0.0, 0.0, 0.0, 0.0, *outlook))
        return kept[1]


def _line(name: str, values: Sequence[float]) -> str:
    return _LINE.format(name, *values)


def _quoted(name: str) -> str:
    special = any(character in name for character in ',"\r\n')
    return '"' + name.replace('"', '""') + '"' if special else name
