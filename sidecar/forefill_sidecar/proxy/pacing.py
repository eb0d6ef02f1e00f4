"""A client's connection and its time: what it is waited for, and until when."""

from math import inf

from forefill_sidecar.proxy.link import Link
from forefill_sidecar.proxy.shared import Shared

# Why reading from the client is paused; it goes on when no reason is left.
UPSTREAM_IS_FULL, BODY_IS_HELD, PIPELINE_IS_LONG = 1, 2, 4


class PacedLink(Link):
    """`deadline` is monotonic seconds, infinite while the client is waited for by nobody."""

    __slots__ = ("_shared", "deadline")

    def __init__(self, shared: Shared) -> None:
        super().__init__()
        self._shared = shared
        self.deadline = inf

    def hold_body(self) -> None:
        self.hold(BODY_IS_HELD)

    def release_body(self) -> None:
        self.release(BODY_IS_HELD)

    def hold_upstream(self) -> None:
        self.hold(UPSTREAM_IS_FULL)

    def release_upstream(self) -> None:
        self.release(UPSTREAM_IS_FULL)

    def hold(self, reason: int) -> None:
        if not self._holds:
            self.deadline = inf
        super().hold(reason)

    def release(self, reason: int) -> None:
        was_held = self._holds
        super().release(reason)
        if was_held and not self._holds:
            self._reads_on()

    def _due_in(self, seconds: float) -> None:
        self.deadline = self._shared.crowd.soon + seconds

    def _reads_on(self) -> None:
        """Reading goes on after it was held."""
