"""What the operator remembers of one client to appraise it: its windows, its forecasts' worth, what was wrong."""

from array import array
from collections.abc import Sequence
from math import inf, nan
from typing import NamedTuple

from forefill_operator.anomaly.cadence import Cadence
from forefill_operator.anomaly.contradiction import Account
from forefill_operator.anomaly.finding import Standing
from forefill_operator.anomaly.novelty import Novelty
from forefill_operator.client import Client
from forefill_operator.shadow import Shadow
from forefill_operator.trust import Claim, Told, Trust
from forefill_operator.work import Work, declared, declared_tokens
from forefill_operator.workload import Workload
from forefill_protocol.messages import Forecast, PolicyReport

# A window ends with a report that is not early. A shorter one, the first of a pod, waits for the next; and no run of
# early reports holds one open for longer.
SHORTEST, LONGEST = 0.5, 1.5
# A window this many intervals long was slept through, not measured.
SLEPT = 3.0
MISS_PACE = 0.02

# In `_told`: the usual misses one, two and three windows ahead; then means told of coming windows, NaN where none was:
# two and three ahead due next, the same due after it, and three ahead due last.
MISSES, DUE = 3, 5


class Window(NamedTuple):
    """What one window brought, tokens/s. `claim` is what the client forecast of it, None where it said nothing."""

    seconds: float
    rate: float
    claim: Told | None


class Pieces:
    """A window that early reports cut up: each piece brings tokens, and was forecast by the report before it."""

    __slots__ = ("mean", "offered", "p90", "p95", "seconds", "told")

    def __init__(self) -> None:
        self.seconds = self.offered = self.told = self.mean = self.p90 = self.p95 = 0.0

    def add(self, seconds: float, offered: float, told: Told | None) -> None:
        self.seconds += seconds
        self.offered += offered
        if told:
            self.told += seconds
            self.mean += seconds * told.mean
            self.p90 += seconds * told.p90
            self.p95 += seconds * told.p95

    def window(self) -> Window:
        """All pieces as one: every forecast counts for as long as it was in force."""
        told = self.told
        claim = Claim(self.mean / told, self.p90 / told, self.p95 / told) if told >= self.seconds else None
        return Window(self.seconds, self.offered / self.seconds, claim)


class Record:
    """One client of one policy.

    `largest` is the largest cost of a request, tokens; `backlog` that of
    the last report, None after a gap; `missed` windows lie between the last two reports; `skill` is what
    counts in the mean of all, None for a newcomer.
    """

    __slots__ = (
        "_nearest",
        "_pieces",
        "_told",
        "_work",
        "account",
        "backlog",
        "cadence",
        "client",
        "heard_at",
        "largest",
        "missed",
        "novelty",
        "shadow",
        "skill",
        "standing",
        "trust",
        "workload",
    )

    def __init__(self, client: Client, workload: Workload | None) -> None:
        self.client = client
        self.workload = workload
        self.shadow = Shadow()
        self.trust = Trust(workload.join(), workload.left_skill) if workload else Trust()
        self.standing = Standing()
        self.cadence = Cadence()
        self.novelty = Novelty()
        self.heard_at: float | None = None
        self.backlog: float | None = None
        self.largest = 0.0
        self.missed = 0
        self.account = Account()
        self.skill: float | None = None
        self._pieces: Pieces | None = None
        self._nearest: Forecast | None = None
        self._work: tuple[Work, ...] = ()
        self._told = array("f", [0.0] * MISSES + [nan] * DUE)

    @property
    def misses(self) -> tuple[float, float, float]:
        """The mean's usual miss one, two and three windows ahead, tokens/s."""
        one, two, three = self._told[:MISSES]
        return one, two, three

    def gather(self, entry: PolicyReport, interval: float, now: float) -> Window | None:
        """The window that this report ends; None while it is only a piece. What nobody measured is a gap."""
        seconds = entry.window_seconds
        self.missed = self._missed(seconds, interval, now)
        self.heard_at = now
        self.backlog = entry.backlog
        if self.missed:
            self._pass(self.missed)
        told, self._nearest = self._claim(seconds, now), entry.forecasts[0] if entry.forecasts else None
        self._work = declared(entry.expectations, now, inf) if entry.expectations else ()
        if seconds <= 0.0 or seconds > SLEPT * interval:
            return None
        self.account.observe(entry.admitted / (seconds if seconds > interval else interval))
        if entry.cost is not None and entry.cost.p95 > self.largest:
            self.largest = entry.cost.p95
        enough = (LONGEST if entry.early else SHORTEST) * interval
        if self._pieces is None and seconds >= enough:
            return Window(seconds, entry.offered / seconds, told)
        return self._join(seconds, entry.offered, told, enough)

    def _claim(self, seconds: float, now: float) -> Told | None:
        """What the client said of these seconds: its forecast, and on top of it what it declared."""
        told = self._nearest
        if told is None or not self._work or seconds <= 0.0:
            return told
        rate = declared_tokens(self._work, now - seconds, now) / seconds
        return Claim(told.mean + rate, told.p90 + rate, told.p95 + rate)

    def _missed(self, seconds: float, interval: float, now: float) -> int:
        gap = now - self.heard_at - seconds if self.heard_at is not None else 0.0
        missed = round(gap / interval) if gap > 0.0 else 0
        return missed + round(seconds / interval) if seconds > SLEPT * interval else missed

    def _pass(self, windows: int) -> None:
        self.shadow.skip(windows)
        self._pieces = None
        self._nearest = None
        self._told[MISSES:] = array("f", [nan] * DUE)

    def _join(self, seconds: float, offered: float, told: Told | None, enough: float) -> Window | None:
        pieces = self._pieces = self._pieces or Pieces()
        pieces.add(seconds, offered, told)
        if pieces.seconds < enough:
            return None
        self._pieces = None
        return pieces.window()

    def learn(self, window: Window, forecasts: Sequence[Forecast]) -> float:
        """Score what was forecast of the window, by the client and by its shadow; then let the shadow learn.

        `forecasts` are those of the report that ended the window. Returns the shadow's error, tokens/s.
        """
        shadow, rate, workload = self.shadow, window.rate, self.workload
        error = rate - shadow.mean if shadow.seen else 0.0
        if window.claim is not None and shadow.seen:
            before = self.trust.value
            self.trust.score(window.claim, shadow, rate)
            if workload is not None:
                workload.trust += self.trust.value - before
        self._follow_misses(window, forecasts)
        shadow.observe(rate)
        return error

    def _follow_misses(self, window: Window, forecasts: Sequence[Forecast]) -> None:
        told, rate = self._told, window.rate
        if window.claim is not None:
            told[0] += MISS_PACE * (abs(rate - window.claim.mean) - told[0])
        second, third = told[3], told[4]
        if second == second:
            told[1] += MISS_PACE * (abs(rate - second) - told[1])
        if third == third:
            told[2] += MISS_PACE * (abs(rate - third) - told[2])
        told[3], told[4], told[6] = told[5], told[6], told[7]
        told[5] = forecasts[1].mean if len(forecasts) > 1 else nan
        told[7] = forecasts[2].mean if len(forecasts) > 2 else nan
