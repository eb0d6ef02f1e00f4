"""What the operator remembers of one client to appraise it: its windows, its forecasts' worth, what was wrong."""

from collections.abc import Sequence
from typing import NamedTuple

from forefill_operator.anomaly.cadence import Cadence
from forefill_operator.anomaly.finding import Standing
from forefill_operator.anomaly.novelty import Novelty
from forefill_operator.shadow import Shadow
from forefill_operator.trust import Claim, Trust
from forefill_operator.workload import Workload
from forefill_protocol.messages import Forecast, PolicyReport

# Shorter pieces of a window wait for the rest of it.
WHOLE = 0.75
# A window this many intervals long was slept through, not measured.
SLEPT = 3.0
ERROR_PACE = 0.02
ADMITTED_PACE = 0.2

# Means told two and three windows ahead: those due next, then those due after it.
Pending = tuple[float | None, float | None, float | None, float | None, float | None]
NOTHING: Pending = (None, None, None, None, None)


class Window(NamedTuple):
    """What one window brought, tokens/s. `claim` is what the client forecast of it, None where it said nothing."""

    seconds: float
    rate: float
    claim: Claim | None


class Pieces:
    """A window that early reports cut up: each piece brings tokens, and was forecast by the report before it."""

    __slots__ = ("mean", "offered", "p90", "p95", "seconds", "told")

    def __init__(self) -> None:
        self.seconds = self.offered = self.told = self.mean = self.p90 = self.p95 = 0.0

    def add(self, seconds: float, offered: float, forecasts: Sequence[Forecast]) -> None:
        self.seconds += seconds
        self.offered += offered
        if forecasts:
            self.told += seconds
            self.mean += seconds * forecasts[0].mean
            self.p90 += seconds * forecasts[0].p90
            self.p95 += seconds * forecasts[0].p95

    def window(self) -> Window:
        """All pieces as one: every forecast counts for as long as it was in force."""
        told = self.told
        claim = Claim(self.mean / told, self.p90 / told, self.p95 / told) if told >= self.seconds else None
        return Window(self.seconds, self.offered / self.seconds, claim)


class Record:
    """One client of one policy. `errors`: the mean's usual miss one, two and three windows ahead, tokens/s.

    `admitted` is the rate admitted lately, tokens/s; `largest` the largest cost of a request, tokens; `backlog` that of
    the last report, None after a gap; `missed` windows lie between the last two reports.
    """

    __slots__ = (
        "_forecasts",
        "_pending",
        "_pieces",
        "admitted",
        "backlog",
        "cadence",
        "errors",
        "heard_at",
        "largest",
        "missed",
        "name",
        "novelty",
        "shadow",
        "standing",
        "strikes",
        "trust",
        "workload",
    )

    def __init__(self, name: str, workload: Workload | None) -> None:
        self.name = name
        self.workload = workload
        self.shadow = Shadow()
        self.trust = Trust(workload.join(), workload.left_skill) if workload else Trust()
        self.standing = Standing()
        self.cadence = Cadence()
        self.novelty = Novelty()
        self.heard_at: float | None = None
        self.backlog: float | None = None
        self.admitted = self.largest = 0.0
        self.missed = self.strikes = 0
        self.errors = (0.0, 0.0, 0.0)
        self._pieces: Pieces | None = None
        self._forecasts: Sequence[Forecast] = ()
        self._pending = NOTHING

    def gather(self, entry: PolicyReport, interval: float, now: float) -> Window | None:
        """The window that this report ends; None while it is only a piece. What nobody measured is a gap."""
        seconds = entry.window_seconds
        self.missed = self._missed(seconds, interval, now)
        self.heard_at = now
        self.backlog = entry.backlog
        if self.missed:
            self._pass(self.missed)
        told, self._forecasts = self._forecasts, entry.forecasts
        if seconds <= 0.0 or seconds > SLEPT * interval:
            return None
        self.admitted += ADMITTED_PACE * (entry.admitted / max(seconds, interval) - self.admitted)
        if entry.cost is not None and entry.cost.p95 > self.largest:
            self.largest = entry.cost.p95
        if self._pieces is None and seconds >= WHOLE * interval:
            claim = Claim(told[0].mean, told[0].p90, told[0].p95) if told else None
            return Window(seconds, entry.offered / seconds, claim)
        return self._join(seconds, entry.offered, told, WHOLE * interval)

    def _missed(self, seconds: float, interval: float, now: float) -> int:
        gap = now - self.heard_at - seconds if self.heard_at is not None else 0.0
        missed = round(gap / interval) if gap > 0.0 else 0
        return missed + round(seconds / interval) if seconds > SLEPT * interval else missed

    def _pass(self, windows: int) -> None:
        self.shadow.skip(windows)
        self._pieces = None
        self._forecasts = ()
        self._pending = NOTHING

    def _join(self, seconds: float, offered: float, told: Sequence[Forecast], whole: float) -> Window | None:
        pieces = self._pieces = self._pieces or Pieces()
        pieces.add(seconds, offered, told)
        if pieces.seconds < whole:
            return None
        self._pieces = None
        return pieces.window()

    def learn(self, window: Window) -> float:
        """Score what was forecast of the window, by the client and by its shadow; then let the shadow learn.

        Returns the shadow's error, tokens/s.
        """
        shadow, rate, workload = self.shadow, window.rate, self.workload
        error = rate - shadow.mean if shadow.seen else 0.0
        if window.claim is not None and shadow.seen:
            before = self.trust.value
            self.trust.score(window.claim, shadow, rate)
            if workload is not None:
                workload.trust += self.trust.value - before
        self._follow_errors(window)
        shadow.observe(rate)
        return error

    def _follow_errors(self, window: Window) -> None:
        second, third, next_second, next_third, last_third = self._pending
        one, two, three = self.errors
        rate, told = window.rate, self._forecasts
        if window.claim is not None:
            one += ERROR_PACE * (abs(rate - window.claim.mean) - one)
        if second is not None:
            two += ERROR_PACE * (abs(rate - second) - two)
        if third is not None:
            three += ERROR_PACE * (abs(rate - third) - three)
        self.errors = (one, two, three)
        newest_second = told[1].mean if len(told) > 1 else None
        newest_third = told[2].mean if len(told) > 2 else None
        self._pending = (next_second, next_third, newest_second, last_third, newest_third)
