"""One policy of a pod: what it forecasts, what it reports, and at what rate its bucket runs. Pure: `now` is given."""

from dataclasses import dataclass, field
from math import inf

from forefill_protocol import messages
from forefill_protocol.policysettings import PolicySettings
from forefill_sidecar.acknowledgements import Outstanding
from forefill_sidecar.counts import Counts
from forefill_sidecar.early import SOON_SECONDS, Reason, Running, Watch
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.lessons import Lessons
from forefill_sidecar.meter import Window
from forefill_sidecar.port import Port
from forefill_sidecar.profile import Profile
from forefill_sidecar.spare import spare_tokens
from forefill_sidecar.succession import succeeding
from forefill_sidecar.tenure import Allowance, Tenure


@dataclass(slots=True)
class Member:
    """A window may be reported in parts: all but the last are early, and the model learns the whole.

    A `profile` shares its predictor's season.
    """

    listener: Port
    tenure: Tenure
    predictor: Predictor
    settings: PolicySettings
    report_due: float
    profile: Profile | None = None
    watch: Watch = field(default_factory=Watch)
    counts: Counts = field(default_factory=Counts)
    # When the last whole window was closed, and what the early parts of the running one brought.
    closed_at: float = -inf
    _lessons: Lessons = field(init=False)
    # When `enforce` has to be called again, and what it set; None when that is not known.
    changes_at: float = -inf
    _enforced: Allowance | None = None
    _lumped: int = 0
    _shadow_told: tuple[float, float] = (0.0, 0.0)
    outstanding: Outstanding = field(default_factory=Outstanding)
    _look_at: float = -inf

    def __post_init__(self) -> None:
        self._lessons = Lessons(self.listener.expectations, self.counts)

    @property
    def policy(self) -> str:
        return self.tenure.listener.policy

    # Reports

    def close_window(self, now: float, wall_time: float | None = None) -> messages.PolicyReport:
        """End the window: learn from it, forecast the next, and say so. `wall_time` is Unix seconds, where known."""
        recent = self.watch.lately(now, self._running(now)) if self.watch.reported else (0.0, 0.0)
        window, lessons = self.listener.meter.close(now), self._lessons
        lessons.add(window)
        self.watch.window_ended(window.backlog, lessons.offered)
        lessons.teach(self.predictor, self.profile, self.settings, now, wall_time)
        self.closed_at, self.report_due = now, now + self.settings.report_interval_seconds
        entry = self._entry(now, window, recent, early=False)
        lessons.forecast = entry.forecasts[0]
        return entry

    def close_part(self, now: float, reason: Reason) -> messages.PolicyReport:
        """Report early what the window has brought since the last report. Its forecasts stay those that were made."""
        running = self._running(now)
        self.watch.told(now, reason, running)
        recent = self.watch.lately(now, running)
        self.counts.early_reports[reason] += 1
        window = self.listener.meter.close(now)
        self._lessons.add(window)
        return self._entry(now, window, recent, early=True)

    def _entry(self, now: float, window: Window, recent: tuple[float, float], early: bool) -> messages.PolicyReport:
        held, expectations = self.tenure.assignment, self.listener.expectations
        coming = expectations.coming(now)
        expectations.reported()
        if held:
            self.outstanding.acknowledged(held)
        shadow = self.listener.gate.shadow
        told, self._shadow_told = self._shadow_told, (shadow.would_wait, shadow.would_refuse)
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
            would_wait=shadow.would_wait - told[0],
            would_refuse=shadow.would_refuse - told[1],
            spare_tokens=spare_tokens(now, self.listener, self.predictor, self.settings),
            recent_seconds=recent[0],
            recent_offered=recent[1],
        )

    # Early reports

    def look(self, now: float) -> Reason | None:
        """Why to report before the window ends; cheap, and looks at most once in SOON_SECONDS."""
        if now < self._look_at:
            return None
        self._look_at = now + SOON_SECONDS
        # Without a lease nobody answers, and right before its end the window is reported anyhow.
        if self.report_due - now < SOON_SECONDS or self.watch.is_quiet(now) or self.tenure.state(now) != "active":
            return None
        expectations, horizon = self.listener.expectations, self.settings.forecast.horizon_windows
        news = expectations.news_at <= now + horizon * self.settings.report_interval_seconds
        return self.watch.reason(now, self._running(now), self.predictor, self.settings.forecast.quantile, news)

    def look_soon(self, now: float) -> bool:
        """A request began to wait: whether it is worth to look now."""
        return now >= self._look_at

    def _running(self, now: float) -> Running:
        listener, lessons = self.listener, self._lessons
        meter, interval = listener.meter, self.settings.report_interval_seconds
        elapsed = lessons.seconds + max(0.0, now - meter.started_at)
        began = now - elapsed
        return Running(
            elapsed,
            interval,
            lessons.offered + meter.offered_since(),
            listener.expectations.between(now, began, began + interval),
            meter.backlog,
            listener.gate.bucket.fill_rate,
        )

    # Grants

    def apply(self, assignment: messages.Assignment, counted_from: float, now: float) -> messages.Ack | None:
        """Run at this grant from now on; an acknowledgement says so where the next report would be too late."""
        if self.tenure.assignment is None:
            # What has come to wait before the first grant is worth a report at once.
            self._look_at = now
        self.tenure.grant(assignment, counted_from)
        if assignment.settings is not None and assignment.settings != self.settings:
            self._configure(assignment.settings)
        if assignment.inherited is not None and self.predictor.inherit(assignment.inherited) and self.profile:
            self.profile.inherit(assignment.inherited)
        self._schedule(assignment, counted_from, now)
        self.enforce(now)
        self._add_lump(assignment, now)
        return self._ack(assignment) if self.outstanding.take(assignment) else None

    def _schedule(self, assignment: messages.Assignment, counted_from: float, now: float) -> None:
        """When the window ends: the answer to its beginning says so. Others leave it as it is, or shorten it.

        So does the answer to a hello: pods that greet together still report at the moments that were drawn for them.
        """
        due = counted_from + assignment.next_report_seconds
        if counted_from == self.closed_at:
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
            self.watch.helped(assignment.lump_tokens)

    def recall(self, recall: messages.Recall, now: float) -> messages.Ack | None:
        """Run at the lower rate, and give up tokens, at once. None, and nothing to acknowledge, without a grant."""
        held = self.tenure.recall(recall)
        if held is None:
            return None
        self.counts.recalls += 1
        self.enforce(now)
        self.outstanding.acknowledged(held)
        spare = spare_tokens(now, self.listener, self.predictor, self.settings) if recall.tokens else 0.0
        given = self.listener.gate.take_out(now, min(recall.tokens, spare))
        self.counts.given_tokens += given
        return self._ack(held, given)

    @staticmethod
    def _ack(held: messages.Assignment, given_tokens: float = 0.0) -> messages.Ack:
        return messages.Ack(
            policy=held.policy,
            grant_sequence=held.grant_sequence,
            policy_generation=held.policy_generation,
            tokens=given_tokens,
        )

    def restore(self, assignment: messages.Assignment, counted_from: float, now: float) -> None:
        """Go on with a lease that was granted before the process began; its settings come with the next answer."""
        self.tenure.grant(assignment, counted_from)
        self._lumped = assignment.grant_sequence
        self.enforce(now)

    def refuse(self, refused: messages.Refused, now: float) -> None:
        self.tenure.refuse(refused, now)
        self.enforce(now)

    def _configure(self, settings: PolicySettings) -> None:
        if self.profile:
            self.profile.take(self.settings.cost.routes)
            self.profile.arrivals.user_header = settings.forecast.user_header.lower().encode()
        self.predictor = succeeding(self.predictor, self.settings, settings, self.policy)
        self.settings = settings
        self.listener.configure(settings)

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
