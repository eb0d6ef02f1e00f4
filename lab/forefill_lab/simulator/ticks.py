"""TICKS.csv: a row a tick and client."""

from typing import NamedTuple, TextIO

from forefill_lab.simulator.controllers.base import Controller
from forefill_lab.simulator.demand import Demand

HEADER = "t,client,offered,granted,served_on_time,served_late,dropped,waiting,forecast,trust,priority\n"


class _Words(NamedTuple):
    """What does not change from tick to tick unless a message comes: as numbers, and as it is written."""

    granted: float
    outlook: tuple[float, float, float]
    granted_text: str
    outlook_text: str
    idle_line: str


class Ticks:
    """Writes every client that is there in the tick, clients in the demand's order."""

    def __init__(self, file: TextIO, demand: Demand, controller: Controller) -> None:
        self._file = file
        self._demand = demand
        self._controller = controller
        self._names = [_quoted(name) for name in demand.clients]
        self._words: dict[int, _Words] = {}
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
        controller, words = self._controller, self._words.get(client)
        granted, outlook = controller.granted(client), controller.outlook(client)
        if words is None or granted != words.granted or outlook != words.outlook:
            words = self._words[client] = self._said(self._names[client], granted, outlook)
        if not is_busy:
            return words.idle_line
        f = controller.flow(client)
        offered = f"{f.offered:.10g}"
        if f.on_time == f.offered and not f.late and not f.dropped and not f.waiting:
            served = f"{offered},0,0,0"
        else:
            served = f"{f.on_time:.10g},{f.late:.10g},{f.dropped:.10g},{f.waiting:.10g}"
        return f"{self._names[client]},{offered},{words.granted_text},{served},{words.outlook_text}"

    @staticmethod
    def _said(name: str, granted: float, outlook: tuple[float, float, float]) -> _Words:
        forecast, trust, priority = outlook
        rate, rest = f"{granted:.10g}", f"{forecast:.10g},{trust:.6g},{priority:.6g}\n"
        return _Words(granted, outlook, rate, rest, f"{name},0,{rate},0,0,0,0,{rest}")


def _quoted(name: str) -> str:
    special = any(character in name for character in ',"\r\n')
    return '"' + name.replace('"', '""') + '"' if special else name
