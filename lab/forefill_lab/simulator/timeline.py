"""A virtual clock: events in the order of their time, and the tick that it is in."""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count


class Timeline:
    """`now` is seconds since the beginning, `tick` the number of the tick that contains it, `step` a tick's seconds."""

    __slots__ = ("_events", "_numbers", "now", "step", "tick")

    def __init__(self, step: float) -> None:
        self.now = 0.0
        self.tick = 0
        self.step = step
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def at(self, time: float, act: Callable[[], None]) -> None:
        """Events of the same moment happen in the order in which they were set; the past is now."""
        heappush(self._events, (max(time, self.now), next(self._numbers), act))

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        self.at(self.now + seconds, act)

    def run_until(self, time: float) -> None:
        """Let everything happen that is set for before `time`, and be there."""
        events = self._events
        while events and events[0][0] < time:
            self.now, _, act = heappop(events)
            act()
        self.now = time
