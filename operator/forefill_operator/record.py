"""What the operator remembers of one client to appraise it: its windows, its forecasts' worth, what was wrong."""

from forefill_operator.anomaly.finding import Standing
from forefill_operator.shadow import Shadow
from forefill_operator.trust import Claim, Trust
from forefill_protocol.messages import Forecast, PolicyReport

# Shorter pieces of a window wait for the rest of it.
WHOLE = 0.75
# A window this many intervals long was slept through, not measured.
SLEPT = 3.0
ERROR_PACE = 0.02

# Means told two and three windows ahead: those due next, then those due after it.
Pending = tuple[float | None, float | None, float | None, float | None, float | None]
NOTHING: Pending = (None, None, None, None, None)


class Window:
    """What one window brought, tokens/s. `claim` is what the client forecast of it, weighed by how long it said so."""

    __slots__ = ("claim", "rate", "seconds")

    def __init__(self, seconds: float, rate: float, claim: Claim | None) -> None:
        self.seconds = seconds
        self.rate = rate
        self.claim = claim


class Record:
    """One client of one policy. `errors`: the mean's usual miss one, two and three windows ahead, tokens/s."""

    __slots__ = (
        "_forecasts",
        "_offered",
        "_pending",
        "_seconds",
        "_sums",
        "backlog",
        "errors",
        "heard_at",
        "largest",
        "missed",
        "shadow",
        "standing",
        "trust",
        "workload",
    )

    def __init__(self, workload: str, trust: float) -> None:
        self.workload = workload
        self.shadow = Shadow()
        self.trust = Trust(trust)
        self.standing = Standing()
        self.heard_at: float | None = None
        self.backlog: float | None = None
        self.largest = 0.0
        self.missed = 0
        self.errors = (0.0, 0.0, 0.0)
        self._forget_window()
        self._forecasts: list[Forecast] = []
        self._pending = NOTHING

    def _forget_window(self) -> None:
        self._seconds = self._offered = 0.0
        self._sums: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def gather(self, entry: PolicyReport, interval: float, now: float) -> Window | None:
        """The window that this report ends; None while it is only a piece. What nobody measured is a gap."""
        seconds = entry.window_seconds
        gap = now - self.heard_at - seconds if self.heard_at is not None else 0.0
        self.heard_at = now
        self.missed = round(gap / interval) if gap > 0.0 else 0
        slept = seconds > SLEPT * interval
        if slept:
            self.missed += round(seconds / interval)
        if self.missed:
            self._pass(self.missed)
        if slept or seconds <= 0.0:
            self._forecasts = entry.forecasts
            return None
        self._add(entry.offered, seconds)
        self._forecasts = entry.forecasts
        if self._seconds < WHOLE * interval:
            return None
        window = self._close()
        self._forget_window()
        return window

    def _pass(self, windows: int) -> None:
        self.shadow.skip(windows)
        self._forget_window()
        self._forecasts = []
        self._pending = NOTHING
        self.backlog = None

    def _add(self, offered: float, seconds: float) -> None:
        self._seconds += seconds
        self._offered += offered
        if self._forecasts:
            nearest = self._forecasts[0]
            told, mean, p90, p95 = self._sums
            self._sums = (
                told + seconds,
                mean + seconds * nearest.mean,
                p90 + seconds * nearest.p90,
                p95 + seconds * nearest.p95,
            )

    def _close(self) -> Window:
        told, mean, p90, p95 = self._sums
        claim = Claim(mean / told, p90 / told, p95 / told) if told >= self._seconds else None
        return Window(self._seconds, self._offered / self._seconds, claim)

    def learn(self, window: Window) -> None:
        """Score what was forecast of the window, by the client and by its shadow; then let the shadow learn."""
        shadow, rate = self.shadow, window.rate
        if window.claim is not None and shadow.seen:
            self.trust.score(window.claim, shadow, rate)
        self._follow_errors(window)
        shadow.observe(rate)

    def _follow_errors(self, window: Window) -> None:
        second, third, next_second, next_third, last_third = self._pending
        one, two, three = self.errors
        if window.claim is not None:
            one += ERROR_PACE * (abs(window.rate - window.claim.mean) - one)
        if second is not None:
            two += ERROR_PACE * (abs(window.rate - second) - two)
        if third is not None:
            three += ERROR_PACE * (abs(window.rate - third) - three)
        self.errors = (one, two, three)
        told = self._forecasts
        newest_second = told[1].mean if len(told) > 1 else None
        newest_third = told[2].mean if len(told) > 2 else None
        self._pending = (next_second, next_third, newest_second, last_third, newest_third)
