"""The loop of a sidecar: close the window, score, forecast, report; take the answer and retune the bucket.

One agent a pod, one member a policy. Members decide with `now` passed in; `run` is the only place that waits.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

from forefill_protocol import messages
from forefill_sidecar.early import LOOK_SECONDS
from forefill_sidecar.member import Member
from forefill_sidecar.port import Port

__all__ = ["Agent", "Member", "Port"]

# Reports are remembered this long to know when an answer's lease began.
REMEMBERED_REPORTS = 32

_log = logging.getLogger("forefill.agent")


@dataclass(slots=True)
class Agent:
    """All members of one pod and their one stream.

    `send` gives a message to the stream, False when there is none; it must not call `receive` before it returns. On a
    clock of one's own, call `step` when `next_moment` has come, or more often, and `look` once a second: both cost next
    to nothing while nothing is due. `wall_clock` gives Unix seconds, for the time of day.
    """

    boot_id: str
    software: str
    members: Sequence[Member]
    send: Callable[[messages.Up], bool]
    clock: Callable[[], float]
    wall_clock: Callable[[], float] | None = None
    sequence: int = 0
    sent_at: dict[int, float] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Report when a window ends or early, and enforce when a lease changes, until cancelled."""
        for member in self.members:
            # Pods of one rollout start together; the first windows spread their reports over the interval.
            member.report_due -= random.uniform(0.0, 0.5) * member.settings.report_interval_seconds
            member.listener.gate.on_wait = lambda member=member: self._waits(member)
            member.enforce(self.clock())
        looked_at = self.clock()
        while True:
            self.changed.clear()
            moment = min(self.next_moment(), looked_at + LOOK_SECONDS)
            try:
                await asyncio.wait_for(self.changed.wait(), max(0.0, moment - self.clock()))
            except TimeoutError:
                self.step(self.clock())
            looked_at = self.clock()
            self.look(looked_at)

    def _waits(self, member: Member) -> None:
        if member.look_soon(self.clock()):
            self.changed.set()

    def step(self, now: float) -> None:
        """Report windows that ended, and follow leases that changed, by `now`."""
        due = [member for member in self.members if member.report_due <= now]
        if due:
            self._close(due, now)
        for member in self.members:
            if member.changes_at <= now:
                member.enforce(now)

    def look(self, now: float) -> None:
        """Report early where reality has left the forecast; call it once a second, or when requests begin to wait."""
        entries = [member.close_part(now, reason) for member in self.members if (reason := member.look(now))]
        if entries:
            self._report(entries, now)

    def next_moment(self) -> float:
        """When `step` has something to do, in monotonic seconds."""
        moment = inf
        for member in self.members:
            if member.report_due < moment:
                moment = member.report_due
            if member.changes_at < moment:
                moment = member.changes_at
        return moment

    def _close(self, due: Sequence[Member], now: float) -> None:
        wall_time = self.wall_clock() if self.wall_clock else None
        self._report([member.close_window(now, wall_time) for member in due], now)

    def _report(self, entries: list[messages.PolicyReport], now: float) -> None:
        self.sequence += 1
        self._remember(self.sequence, now)
        self.send(messages.Report(sequence=self.sequence, entries=entries))

    def _remember(self, sequence: int, now: float) -> None:
        self.sent_at[sequence] = now
        if len(self.sent_at) > REMEMBERED_REPORTS:
            # Numbers rise, so the first is the smallest.
            del self.sent_at[next(iter(self.sent_at))]

    def report_now(self) -> None:
        """Close every window, whatever its length: the last word before a goodbye."""
        now = self.clock()
        self._close(self.members, now)

    def hello(self) -> messages.Hello:
        """First message of a stream. Answers that name report 0 count from here."""
        now = self.clock()
        self.sent_at = {0: now}
        for member in self.members:
            member.outstanding.stream_opened()
        holdings = [member.tenure.holding(now) for member in self.members]
        return messages.Hello(
            protocol=messages.PROTOCOL_VERSION,
            boot_id=self.boot_id,
            software=self.software,
            holdings=holdings,
        )

    def receive(self, message: messages.Down) -> None:
        """Take an answer or a push."""
        now = self.clock()
        if isinstance(message, messages.Assignment):
            self._assigned(message, now)
        elif isinstance(message, messages.Recall):
            self._recalled(message, now)
        elif isinstance(message, messages.Refused):
            self._refused(message, now)
        self.changed.set()

    def _assigned(self, assignment: messages.Assignment, now: float) -> None:
        member = self._member(assignment.policy)
        counted_from = self.sent_at.get(assignment.answers)
        if member is None or counted_from is None:
            _log.warning(
                "an assignment for %s answers report %d, which this stream did not send",
                assignment.policy,
                assignment.answers,
            )
            return
        if acknowledgement := member.apply(assignment, counted_from, now):
            self.send(acknowledgement)

    def _recalled(self, recall: messages.Recall, now: float) -> None:
        member = self._member(recall.policy)
        acknowledgement = member.recall(recall, now) if member else None
        if acknowledgement is None:
            _log.warning("grant %d of %s is recalled, but there is none", recall.grant_sequence, recall.policy)
            return
        self.send(acknowledgement)

    def _refused(self, refused: messages.Refused, now: float) -> None:
        _log.warning(
            "the operator refused %s with %d: %s",
            refused.policy or "the stream",
            refused.code,
            refused.sentence,
        )
        for member in self.members:
            if refused.policy in ("", member.policy):
                member.refuse(refused, now)

    def _member(self, policy: str) -> Member | None:
        for member in self.members:
            if member.policy == policy:
                return member
        return None
