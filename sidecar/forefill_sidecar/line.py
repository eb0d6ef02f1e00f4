"""Those who wait for tokens, by urgency, then by arrival. Pure."""

import heapq
from collections import OrderedDict
from collections.abc import Callable
from math import inf
from typing import Final, Literal

from msgspec import Struct

# Urgencies as RFC 9218 §4.1 numbers them: 0 goes first, 7 last.
URGENCIES: Final = 8
DEFAULT_URGENCY: Final = 3
# Entries of those who left stay in the heap until they are as many as this more than those who wait.
_SPARE_DEADLINES: Final = 64


class Refusal(Struct, frozen=True, gc=False):
    """Why a request is turned away, and in how many seconds its tokens will be there if nobody else takes them."""

    reason: Literal["queue_full", "waited_too_long", "denied"]
    retry_after_seconds: float


# What is decided about a request: the tokens taken for it (0.0 where the bucket doesn't bind), or a refusal.
Verdict = float | Refusal


class Waiter(Struct, frozen=True, eq=False):
    """A place in the line; `decided` is called once, unless the waiter leaves before."""

    cost: float
    urgency: int
    arrived_at: float
    expires_at: float
    decided: Callable[[Verdict], None]


class Line:
    """First come, first served within an urgency; a more urgent one goes first whenever it came."""

    def __init__(self) -> None:
        self.tokens = 0.0
        self._queues: list[OrderedDict[Waiter, None]] = [OrderedDict() for _ in range(URGENCIES)]
        self.length = 0
        self._deadlines: list[tuple[float, int, Waiter]] = []
        self._arrivals = 0

    def __len__(self) -> int:
        return self.length

    def __contains__(self, waiter: Waiter) -> bool:
        return waiter in self._queues[waiter.urgency]

    def add(self, waiter: Waiter) -> None:
        """Stand behind everyone at least as urgent."""
        self._queues[waiter.urgency][waiter] = None
        self.length += 1
        self.tokens += waiter.cost
        self._arrivals += 1
        heapq.heappush(self._deadlines, (waiter.expires_at, self._arrivals, waiter))

    def remove(self, waiter: Waiter) -> None:
        del self._queues[waiter.urgency][waiter]
        self.length -= 1
        # An empty line holds no tokens, whatever adding and subtracting floats left over.
        self.tokens = self.tokens - waiter.cost if self.length else 0.0
        if len(self._deadlines) > 2 * self.length + _SPARE_DEADLINES:
            self._deadlines = [entry for entry in self._deadlines if entry[2] in self]
            heapq.heapify(self._deadlines)

    def head(self) -> Waiter | None:
        """Who goes next."""
        for queue in self._queues:
            if queue:
                return next(iter(queue))
        return None

    def is_clear_for(self, urgency: int) -> bool:
        """Whether nobody waits who goes before a newcomer of that urgency."""
        return not self.length or not any(self._queues[: urgency + 1])

    def next_deadline(self) -> float:
        """The earliest deadline of those who wait; infinite without any."""
        while self._deadlines and self._deadlines[0][2] not in self:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else inf

    def expired(self, now: float) -> Waiter | None:
        """Someone whose deadline has passed, still in the line."""
        return self._deadlines[0][2] if self.next_deadline() <= now else None
