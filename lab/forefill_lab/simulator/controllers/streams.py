"""Streams between clients and the operator on a virtual clock: late, in order, and sometimes broken."""

import random
from collections.abc import Callable

from forefill_lab.simulator.conditions import Conditions
from forefill_lab.simulator.timeline import Timeline

LONGEST_RECONNECT_SECONDS = 5.0
LONGEST_UNNOTICED_SECONDS = 1.0


class Stream:
    """One client's connection. `number` rises with each one; what is under way on an earlier one is lost."""

    __slots__ = ("delay", "has_greeted", "is_open", "number", "opener")

    def __init__(self, delay: float, opener: Callable[[], None]) -> None:
        self.delay = delay
        self.opener = opener
        self.number = 0
        self.is_open = False
        self.has_greeted = False

    def open(self) -> None:
        self.number += 1
        self.is_open, self.has_greeted = True, False

    def close(self) -> None:
        self.number += 1
        self.is_open = self.has_greeted = False


class Streams:
    """`noticed(stream)` is called when the operator sees that one has broken."""

    def __init__(self, timeline: Timeline, conditions: Conditions, chance: random.Random) -> None:
        self._timeline = timeline
        self._loss = conditions.loss
        self._chance = chance

    def send(self, stream: Stream, arrive: Callable[[], None], noticed: Callable[[], None]) -> None:
        """Let `arrive` happen after the delay, unless the stream breaks before."""
        if self._loss and self._chance.random() < self._loss:
            self.interrupt(stream, noticed)
            return
        number = stream.number
        self._timeline.later(stream.delay, lambda: arrive() if stream.number == number else None)

    def interrupt(self, stream: Stream, noticed: Callable[[], None]) -> None:
        """Break the stream; the client opens another within seconds, the operator may notice before or after."""
        stream.close()
        number = stream.number
        self._timeline.later(
            self._chance.uniform(0.0, LONGEST_UNNOTICED_SECONDS),
            lambda: noticed() if not stream.has_greeted else None,
        )
        self.reopen(stream, self._chance.uniform(1.0, LONGEST_RECONNECT_SECONDS), number)

    def reopen(self, stream: Stream, seconds: float, number: int) -> None:
        self._timeline.later(seconds, lambda: stream.opener() if stream.number == number else None)

    def reopen_soon(self, stream: Stream) -> None:
        """After an operator has come back: clients come one by one."""
        self.reopen(stream, self._chance.uniform(0.0, LONGEST_RECONNECT_SECONDS), stream.number)
