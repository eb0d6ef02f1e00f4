"""The loop of a sidecar: close the window, score, forecast, report; take the answer and retune the bucket.

One agent a pod, one member a policy. Members decide with `now` passed in; `run` is the only place that waits.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from forefill_protocol import messages
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.meter import Window
from forefill_sidecar.proxy.listener import Listener
from forefill_sidecar.tenure import Tenure

# Reports are remembered this long to know when an answer's lease began.
REMEMBERED_REPORTS = 32
# A window this many times longer than its interval was not measured but slept through: a gap, not a load.
GAP_WINDOWS = 3.0

_log = logging.getLogger("forefill.agent")


@dataclass(slots=True)
class Member:
    """One policy of the pod: its listener, what it forecasts, what it may hand out."""

    listener: Listener
    tenure: Tenure
    predictor: Predictor
    settings: messages.PolicySettings
    report_due: float

    @property
    def policy(self) -> str:
        return self.tenure.listener.policy

    def close_window(self, now: float) -> messages.PolicyReport:
        """End the window: learn from it, forecast the next, and say so."""
        window = self.listener.meter.close(now)
        self._learn(window)
        self.report_due = now + self.settings.report_interval_seconds
        held = self.tenure.assignment
        return messages.PolicyReport(
            policy=self.policy,
            window_seconds=window.window_seconds,
            offered=window.offered,
            admitted=window.admitted,
            refused=window.refused,
            backlog=window.backlog,
            requests=window.requests,
            errors=window.errors,
            forecasts=self.predictor.forecasts(),
            grant_sequence=held.grant_sequence if held else 0,
            policy_generation=held.policy_generation if held else 0,
            request_bytes=window.request_bytes,
            cost=window.cost,
            upstream_seconds=window.upstream_seconds,
        )

    def _learn(self, window: Window) -> None:
        missed = window.window_seconds / self.settings.report_interval_seconds
        if missed > GAP_WINDOWS:
            self.predictor.skip(int(missed))
        elif window.window_seconds > 0.0:
            self.predictor.observe(window.offered / window.window_seconds)

    def apply(self, assignment: messages.Assignment, counted_from: float, now: float) -> messages.Ack:
        """Run at this grant from now on; the acknowledgement says so."""
        self.tenure.grant(assignment, counted_from)
        if assignment.settings is not None and assignment.settings != self.settings:
            self._configure(assignment.settings)
        self.report_due = max(now, counted_from + assignment.next_report_seconds)
        self.enforce(now)
        return messages.Ack(
            policy=assignment.policy,
            grant_sequence=assignment.grant_sequence,
            policy_generation=assignment.policy_generation,
        )

    def restore(self, assignment: messages.Assignment, counted_from: float, now: float) -> None:
        """Go on with a lease that was granted before the process began; its settings come with the next answer."""
        self.tenure.grant(assignment, counted_from)
        self.enforce(now)

    def _configure(self, settings: messages.PolicySettings) -> None:
        if settings.forecast != self.settings.forecast:
            self._forecast_with(settings.forecast)
        self.settings = settings
        self.listener.configure(settings)

    def _forecast_with(self, settings: messages.ForecastSettings) -> None:
        try:
            self.predictor = Predictor(settings.model, settings.horizon_windows)
        except ValueError as error:
            # A newer operator may know models that this sidecar does not; the one it has serves on.
            _log.warning("%s keeps forecasting with %s: %s", self.policy, self.predictor.name, error)

    def enforce(self, now: float) -> None:
        """Make the gate act as the tenure allows at this moment."""
        gate, allowance = self.listener.gate, self.tenure.allowance(now)
        if allowance.kind == "bucket":
            gate.retune(now, allowance.fill_rate, allowance.burst)
        gate.set_mode(self.tenure.mode)
        gate.open_to_all(allowance.kind == "open")
        gate.deny_all(allowance.kind == "denied")


@dataclass(slots=True)
class Agent:
    """All members of one pod and their one stream. `send` gives a message to the stream, False when there is none."""

    boot_id: str
    software: str
    members: Sequence[Member]
    send: Callable[[messages.Up], bool]
    clock: Callable[[], float]
    sequence: int = 0
    sent_at: dict[int, float] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Report when a window ends and enforce when a lease changes, until cancelled."""
        for member in self.members:
            # Pods of one rollout start together; the first windows spread their reports over the interval.
            member.report_due -= random.uniform(0.0, 0.5) * member.settings.report_interval_seconds
            member.enforce(self.clock())
        while True:
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), max(0.0, self._next_moment() - self.clock()))
            except TimeoutError:
                self.step(self.clock())

    def step(self, now: float) -> None:
        due = [member for member in self.members if member.report_due <= now]
        if due:
            self._report(due, now)
        for member in self.members:
            member.enforce(now)

    def _next_moment(self) -> float:
        now = self.clock()
        return min(min(member.report_due, now + member.tenure.next_change(now)) for member in self.members)

    def _report(self, due: Sequence[Member], now: float) -> None:
        self.sequence += 1
        report = messages.Report(sequence=self.sequence, entries=[member.close_window(now) for member in due])
        self._remember(self.sequence, now)
        self.send(report)

    def _remember(self, sequence: int, now: float) -> None:
        self.sent_at[sequence] = now
        if len(self.sent_at) > REMEMBERED_REPORTS:
            del self.sent_at[min(self.sent_at)]

    def report_now(self) -> None:
        """Close every window, whatever its length: the last word before a goodbye."""
        self._report(self.members, self.clock())

    def hello(self) -> messages.Hello:
        """First message of a stream. Answers that name report 0 count from here."""
        now = self.clock()
        self.sent_at = {0: now}
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
        self.send(member.apply(assignment, counted_from, now))

    def _refused(self, refused: messages.Refused, now: float) -> None:
        _log.warning(
            "the operator refused %s with %d: %s",
            refused.policy or "the stream",
            refused.code,
            refused.sentence,
        )
        for member in self.members:
            if refused.policy in ("", member.policy):
                member.tenure.refuse(refused, now)
                member.enforce(now)

    def _member(self, policy: str) -> Member | None:
        return next((member for member in self.members if member.policy == policy), None)
