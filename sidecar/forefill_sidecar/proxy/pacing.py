"""A client's connection and its time: what it is waited for, and until when."""

from math import inf

from forefill_sidecar.proxy.exchange import Exchange
from forefill_sidecar.proxy.link import Link
from forefill_sidecar.proxy.shared import Shared

# Why reading from the client is paused; it goes on when no reason is left.
UPSTREAM_IS_FULL, BODY_IS_HELD, PIPELINE_IS_LONG = 1, 2, 4


class PacedLink(Link):
    """`deadline` is monotonic seconds, infinite while the client is waited for by nobody."""

    __slots__ = ("_exchange", "_is_choked", "_shared", "deadline")

    def __init__(self, shared: Shared) -> None:
        super().__init__()
        self._shared = shared
        self._exchange: Exchange | None = None
        self._is_choked = False
        self.deadline = inf

    def pause_writing(self) -> None:
        """The client doesn't read what it is sent: its response pauses, and no further request of it starts."""
        self._is_choked = True
        self._due_in(self._shared.limits.stalled_seconds)
        if self._exchange is not None:
            self._exchange.pause_upstream()

    def resume_writing(self) -> None:
        self._is_choked = False
        self._due_in(inf if self._exchange else self._shared.limits.idle_seconds)
        if self._exchange is not None:
            self._exchange.resume_upstream()
        self._writes_on()

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

    def _hold_if_long(self, kept: bytes) -> None:
        """What is kept until its turn comes stays bounded."""
        if len(kept) > self._shared.limits.held_bytes:
            self.hold(PIPELINE_IS_LONG)

    def _reads_on(self) -> None:
        """Reading goes on after it was held."""

    def _writes_on(self) -> None:
        """The client takes what it is sent again."""
