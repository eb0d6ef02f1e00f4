"""One policy of a pod: what it forecasts, what it reports, and at what rate its bucket runs. Pure: `now` is given."""

import logging
from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from forefill_protocol import messages
from forefill_sidecar.early import LOOK_SECONDS, Reason, Running, Watch
from forefill_sidecar.expectations import Expectations
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.gate import Gate
from forefill_sidecar.meter import Meter, Window
from forefill_sidecar.tenure import Allowance, Tenure

# A window this many times longer than its interval was not measured but slept through: a gap, not a load.
GAP_WINDOWS = 3.0

_log = logging.getLogger("forefill.agent")


class Port(Protocol):
    """What is shaped: a listener, or anything else with a gate."""

    @property
    def gate(self) -> Gate: ...
    @property
    def meter(self) -> Meter: ...
    @property
    def expectations(self) -> Expectations: ...
    def configure(self, settings: messages.PolicySettings) -> None: ...


@dataclass(slots=True)
class Counts:
    """What happened since the start; they only rise."""

    early_reports: Counter[Reason] = field(default_factory=Counter)
    recalls: int = 0
    lumps: int = 0
    lump_tokens: float = 0.0


@dataclass(slots=True)
class Member:
    """A window may be reported in parts: all but the last are early, and the model learns the whole."""

    listener: Port
    tenure: Tenure
    predictor: Predictor
    settings: messages.PolicySettings
    report_due: float
    watch: Watch = field(default_factory=Watch)
    counts: Counts = field(default_factory=Counts)
    # When the last whole window was closed, and what the early parts of the running one brought.
    closed_at: float = -inf
    _parts_seconds: float = 0.0
    _parts_offered: float = 0.0
    # When `enforce` has to be called again, and what it set; None when that is not known.
    changes_at: float = -inf
    _enforced: Allowance | None = None
    _lumped: int = 0
    _look_at: float = -inf

    @property
    def policy(self) -> str:
        return self.tenure.listener.policy

    # Reports

    def close_window(self, now: float) -> messages.PolicyReport:
        """End the window: learn from it, forecast the next, and say so."""
        window = self.listener.meter.close(now)
        seconds, offered = window.window_seconds + self._parts_seconds, window.offered + self._parts_offered
        self._parts_seconds = self._parts_offered = 0.0
        self._learn(seconds, offered)
        self.closed_at, self.report_due = now, now + self.settings.report_interval_seconds
        self.watch.window_ended(window.backlog)
        return self._entry(now, window, early=False)

    def close_part(self, now: float, reason: Reason) -> messages.PolicyReport:
        """Report early what the window has brought since the last report. Its forecasts stay those that were made."""
        self.watch.told(now, reason, self._running(now))
        self.counts.early_reports[reason] += 1
        window = self.listener.meter.close(now)
        self._parts_seconds += window.window_seconds
        self._parts_offered += window.offered
        return self._entry(now, window, early=True)

    def _entry(self, now: float, window: Window, early: bool) -> messages.PolicyReport:
        held, expectations = self.tenure.assignment, self.listener.expectations
        coming = expectations.coming(now)
        expectations.reported()
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
            expectations=coming,
            early=early,
        )

    def _learn(self, seconds: float, offered: float) -> None:
        missed = seconds / self.settings.report_interval_seconds
        if missed > GAP_WINDOWS:
            self.predictor.skip(int(missed))
        elif seconds > 0.0:
            self.predictor.observe(offered / seconds)

    # Early reports

    def look(self, now: float) -> Reason | None:
        """Why to report before the window ends; cheap, and looks at most once in LOOK_SECONDS."""
        if now < self._look_at:
            return None
        self._look_at = now + LOOK_SECONDS
        # Without a lease nobody answers, and right before its end the window is reported anyhow.
        if self.report_due - now < LOOK_SECONDS or self.tenure.state(now) != "active":
            return None
        expectations, horizon = self.listener.expectations, self.settings.forecast.horizon_windows
        news = expectations.news_at <= now + horizon * self.settings.report_interval_seconds
        return self.watch.reason(now, self._running(now), self.predictor, self.settings.forecast.quantile, news)

    def look_soon(self, now: float) -> bool:
        """A request began to wait: whether it is worth to look now."""
        return now >= self._look_at

    def _running(self, now: float) -> Running:
        meter = self.listener.meter
        elapsed = self._parts_seconds + max(0.0, now - meter.started_at)
        return Running(
            elapsed=elapsed,
            interval=self.settings.report_interval_seconds,
            offered=self._parts_offered + meter.offered_since(),
            declared=self.listener.expectations.between(now - elapsed, now),
            backlog=meter.backlog,
            fill_rate=self.listener.gate.bucket.fill_rate,
        )

    # Grants

    def apply(self, assignment: messages.Assignment, counted_from: float, now: float) -> messages.Ack:
        """Run at this grant from now on; the acknowledgement says so."""
        self.tenure.grant(assignment, counted_from)
        if assignment.settings is not None and assignment.settings != self.settings:
            self._configure(assignment.settings)
        self._schedule(assignment, counted_from, now)
        self.enforce(now)
        self._add_lump(assignment, now)
        return self._ack(assignment)

    def _schedule(self, assignment: messages.Assignment, counted_from: float, now: float) -> None:
        """When the window ends: early reports and late answers to earlier ones leave it as it is, or shorten it."""
        due = counted_from + assignment.next_report_seconds
        if assignment.answers == 0 or counted_from == self.closed_at:
            self.report_due = max(now, due)
        elif counted_from > self.closed_at:
            self.report_due = max(now, min(due, self.report_due))

    def _add_lump(self, assignment: messages.Assignment, now: float) -> None:
        """After the retune, which would clip it; once a grant, for answers may be repeated."""
        if assignment.lump_tokens and assignment.grant_sequence > self._lumped:
            self._lumped = assignment.grant_sequence
            self.counts.lumps += 1
            self.counts.lump_tokens += assignment.lump_tokens
            self.listener.gate.add(now, assignment.lump_tokens)

    def recall(self, recall: messages.Recall, now: float) -> messages.Ack | None:
        """Run at the lower rate at once. None, and nothing to acknowledge, when there is no grant."""
        held = self.tenure.recall(recall)
        if held is None:
            return None
        self.counts.recalls += 1
        self.enforce(now)
        return self._ack(held)

    @staticmethod
    def _ack(held: messages.Assignment) -> messages.Ack:
        return messages.Ack(
            policy=held.policy, grant_sequence=held.grant_sequence, policy_generation=held.policy_generation
        )

    def restore(self, assignment: messages.Assignment, counted_from: float, now: float) -> None:
        """Go on with a lease that was granted before the process began; its settings come with the next answer."""
        self.tenure.grant(assignment, counted_from)
        self._lumped = assignment.grant_sequence
        self.enforce(now)

    def refuse(self, refused: messages.Refused, now: float) -> None:
        self.tenure.refuse(refused, now)
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
        """Make the gate act as the tenure allows now. What is as it was is left alone, so that lump tokens last."""
        gate, allowance = self.listener.gate, self.tenure.allowance(now)
        self.changes_at = now + self.tenure.next_change(now)
        if gate.mode != self.tenure.mode:
            gate.set_mode(self.tenure.mode)
        if allowance == self._enforced:
            return
        self._enforced = allowance
        if allowance.kind == "bucket":
            gate.retune(now, allowance.fill_rate, allowance.burst)
        gate.open_to_all(allowance.kind == "open")
        gate.deny_all(allowance.kind == "denied")
