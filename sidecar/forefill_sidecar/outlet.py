"""A way out of the event loop for what may be slow: a file, a collector.

Adding never waits; what is too much is dropped and counted.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

_Item = TypeVar("_Item")

PENDING_LIMIT = 20_000
BATCH_LIMIT = 512
INTERVAL_SECONDS = 0.5


class Outlet(Generic[_Item]):
    """`deliver` runs in a thread of its own with up to BATCH_LIMIT items, and raises OSError when it can't; `finish`
    runs there at the end.

    `dropped` counts items that found no room or could not be delivered.
    """

    def __init__(
        self, name: str, deliver: Callable[[Sequence[_Item]], None], finish: Callable[[], None] | None = None
    ) -> None:
        self.name = name
        self.dropped = 0
        self._deliver = deliver
        self._finish = finish
        self._pending: deque[_Item] = deque()
        self._wake = threading.Event()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def add(self, item: _Item) -> None:
        """Hand one over."""
        if len(self._pending) >= PENDING_LIMIT:
            self.dropped += 1
            return
        self._pending.append(item)
        if len(self._pending) == BATCH_LIMIT:
            self._wake.set()

    def close(self, seconds: float = 2.0) -> None:
        """Deliver what is pending, for at most so long."""
        self._is_closing = True
        self._wake.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._is_closing or self._pending:
            self._wake.wait(INTERVAL_SECONDS)
            self._wake.clear()
            while self._pending:
                self._deliver_some()
        if self._finish is not None:
            self._finish()

    def _deliver_some(self) -> None:
        batch = [self._pending.popleft() for _ in range(min(BATCH_LIMIT, len(self._pending)))]
        try:
            self._deliver(batch)
        except OSError:
            # A full disk or an absent collector costs its own entries, never a request; the counter tells.
            self.dropped += len(batch)
