"""What one policy allows a pod at each moment: the lease, what follows it, and what stands before the first answer.

States are those of a rate limit quota assignment: `none` (never answered), `active`, `expired` (the lease ended) and
`abandoned` (the policy was deleted). Pure: `now` is monotonic seconds.
"""

from dataclasses import dataclass, field
from math import inf
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from forefill_protocol.fields import Fallback, Mode
from forefill_protocol.messages import Assignment, Holding, Recall, Refused
from forefill_protocol.podsettings import PolicyListener

# A connected operator answers a Hello within milliseconds. Until this has passed, a starting pod holds its requests
# rather than spend tokens that nobody has counted.
FIRST_ANSWER_SECONDS = 2.0

State = Literal["none", "active", "expired", "abandoned"]


class Allowance(Struct, frozen=True, gc=False):
    """How the gate acts: a bucket of `fill_rate` and `burst`, or everything (`open`), or nothing (`denied`)."""

    kind: Literal["bucket", "open", "denied"]
    fill_rate: float = 0.0
    burst: float = 0.0


OPEN = Allowance("open")
DENIED = Allowance("denied")


@dataclass(slots=True)
class Tenure:
    """The lease of one policy in one pod. `started_at` is when the sidecar began to serve."""

    listener: PolicyListener
    started_at: float
    mode: Mode = field(init=False)
    fallback: Fallback = field(init=False)
    assignment: Assignment | None = None
    counted_from: float = 0.0
    gone_since: float | None = None
    abandoned: bool = False

    def __post_init__(self) -> None:
        self.mode = self.listener.mode
        self.fallback = self.listener.settings.fallback

    def grant(self, assignment: Assignment, counted_from: float) -> None:
        """Take a grant whose durations run from `counted_from`. A stream keeps order, so the newest message wins."""
        self.assignment, self.counted_from = assignment, counted_from
        self.mode = assignment.mode
        if assignment.settings:
            self.fallback = assignment.settings.fallback
        self.gone_since, self.abandoned = None, False

    def recall(self, recall: Recall) -> Assignment | None:
        """Give part of the grant back: from now on its envelope lies nowhere above `fill_rate`. None without one."""
        held, rate = self.assignment, recall.fill_rate
        if held is None:
            return None
        self.assignment = replace(
            held,
            grant_sequence=max(held.grant_sequence, recall.grant_sequence),
            fill_rate=min(held.fill_rate, rate),
            safe_rate=min(held.safe_rate, rate),
            steps=[replace(step, fill_rate=min(step.fill_rate, rate)) for step in held.steps],
            lump_tokens=0.0,
        )
        return self.assignment

    def refuse(self, refused: Refused, now: float) -> None:
        """Two answers of 410 at least one interval apart abandon the policy; anything else changes nothing."""
        if refused.code != 410:
            self.gone_since = None
        elif self.gone_since is None:
            self.gone_since = now
        elif now - self.gone_since >= 0.9 * self.listener.settings.report_interval_seconds:
            self.abandoned, self.assignment = True, None

    def state(self, now: float) -> State:
        if self.abandoned:
            return "abandoned"
        if self.assignment is None:
            return "none"
        return "active" if now - self.counted_from < self.assignment.lease_seconds else "expired"

    def allowance(self, now: float) -> Allowance:
        state = self.state(now)
        if state == "abandoned":
            return OPEN
        held = self.assignment
        if held is None:
            return self._before_first_answer(now)
        elapsed = now - self.counted_from
        if elapsed < held.rate_seconds:
            return Allowance("bucket", self._stepped_rate(held, elapsed), held.burst)
        if state == "active" or self.fallback == "Safe":
            return Allowance("bucket", held.safe_rate, held.burst)
        return OPEN if self.fallback == "Open" else DENIED

    def _before_first_answer(self, now: float) -> Allowance:
        waiting = now - self.started_at < FIRST_ANSWER_SECONDS
        if waiting or self.fallback == "Safe":
            return Allowance("bucket", 0.0 if waiting else self.listener.safe_rate, self.listener.burst)
        return OPEN if self.fallback == "Open" else DENIED

    @staticmethod
    def _stepped_rate(held: Assignment, elapsed: float) -> float:
        rate = held.fill_rate
        for step in held.steps:
            if elapsed >= step.after_seconds:
                rate = step.fill_rate
        return rate

    def next_change(self, now: float) -> float:
        """Seconds until `allowance` may differ; infinite when it stays as it is until a message comes."""
        if self.abandoned:
            return inf
        held, begun = self.assignment, self.counted_from
        if held is None:
            moments = [self.started_at + FIRST_ANSWER_SECONDS]
        else:
            moments = [begun + held.rate_seconds, begun + held.lease_seconds]
            if held.steps:
                moments += [begun + step.after_seconds for step in held.steps]
        return min([moment - now for moment in moments if moment > now], default=inf)

    def holding(self, now: float) -> Holding:
        """What the operator must know of this pod when the stream (re)opens."""
        held, allowance = self.assignment, self.allowance(now)
        if held is None:
            return Holding(
                policy=self.listener.policy,
                policy_uid=self.listener.policy_uid,
                fill_rate=allowance.fill_rate,
                safe_rate=self.listener.safe_rate,
            )
        return Holding(
            policy=held.policy,
            policy_uid=held.policy_uid,
            policy_generation=held.policy_generation,
            grant_sequence=held.grant_sequence,
            fill_rate=allowance.fill_rate,
            safe_rate=held.safe_rate,
            seconds_left=max(0.0, self.counted_from + held.rate_seconds - now),
            ticket=held.ticket,
        )
