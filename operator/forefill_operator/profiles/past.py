"""What is remembered of one workload under one policy: its days, one pod's windows, and what was fitted to them."""

from math import nan, sqrt
from typing import Annotated

from msgspec import Meta, Struct

from forefill_operator.profiles.calendar import Quarter
from forefill_operator.profiles.days import Days
from forefill_operator.profiles.history import History
from forefill_operator.shadow import LEAST_ROOT, Shadow
from forefill_protocol.fields import Coefficient
from forefill_protocol.messages import PolicyReport

# A window of so many intervals or more was slept through; a shorter one than the other part waits for the next.
SLEPT, SHORTEST = 3.0, 0.5
# After so many intervals without a word another pod is the one whose windows are kept.
AWAY = 6.0
# No pod offers more; what exceeds it is a broken report, and an answer that named it could not be sent.
MOST_RATE = 1e9


Coefficients = Annotated[list[Coefficient], Meta(max_length=8)]


class Fitted(Struct, frozen=True):
    """What a fit found. `ar` and `ma`, of differences, as in messages.Inherited; both empty when no fit was usable.

    `skills`, by model of a policy: 1 - its mean absolute error over that of the last value, one window ahead, on the
    last windows of the history, to which nothing was fitted; `best` is the model to have.
    """

    ar: Coefficients
    ma: Coefficients
    skills: dict[str, float]
    best: str

    def __post_init__(self) -> None:
        if self.best not in self.skills:
            raise ValueError(f"best is {self.best!r}, which has no skill")


class Past:
    """Of all pods the days are learned; of one, the witness, every window, `interval` seconds long.

    `ended_at` is when the newest window ended, since 1970; with `has_news` windows came since the last fit.
    """

    __slots__ = (
        "_offered", "_seconds", "_told", "days", "ended_at", "first_scale", "fitted", "has_news", "heard_at", "history",
        "interval", "shadow", "spoken_at", "witness",
    )  # fmt: skip

    def __init__(self, interval: float, days: Days | None = None, scale: float = 0.0, fitted: Fitted | None = None):
        self.interval = interval
        self.days = days or Days()
        self.first_scale = scale
        self.fitted = fitted
        self.history = History()
        self.shadow = Shadow()
        self.witness = ""
        self.ended_at = 0.0
        self.has_news = False
        self.spoken_at: float | None = None
        self.heard_at: float | None = None
        self._seconds = self._offered = 0.0
        self._told = nan

    def hear(self, pod_uid: str, entry: PolicyReport, quarter: Quarter, now: float, wall_now: float = 0.0) -> None:
        """Take one new report. `now` is monotonic, `wall_now` since 1970, `quarter` that in which it came."""
        self.heard_at = now
        seconds, offered = entry.window_seconds, entry.offered
        if 0.0 < seconds < SLEPT * self.interval:
            offered = min(offered, MOST_RATE * seconds)
            self.days.add(quarter, offered, seconds)
        else:
            offered = nan
        if pod_uid != self.witness and self._is_away(now):
            self.witness = pod_uid
            self._forget_parts()
        if pod_uid == self.witness:
            self._follow(entry, seconds, offered, now)
            self.ended_at = wall_now

    def _is_away(self, now: float) -> bool:
        return self.spoken_at is None or now - self.spoken_at > AWAY * self.interval

    def _follow(self, entry: PolicyReport, seconds: float, offered: float, now: float) -> None:
        slept = offered != offered
        self._skip(now if slept else now - seconds)
        self.spoken_at = now
        if slept:
            self._forget_parts()
            return
        self._seconds += seconds
        self._offered += offered
        if entry.early or self._seconds < SHORTEST * self.interval:
            return
        rate = self._offered / self._seconds
        self.history.add(rate, self._told)
        self.has_news = True
        self.shadow.observe(rate)
        self._seconds = self._offered = 0.0
        self._told = entry.forecasts[0].mean if entry.forecasts else nan

    def _skip(self, began: float) -> None:
        """Windows between the last report and the beginning of this one's are a gap."""
        missed = round((began - self.spoken_at) / self.interval) if self.spoken_at is not None else 0
        if missed > 0:
            self.history.skip(missed)
            self.shadow.skip(missed)
            self._forget_parts()

    def _forget_parts(self) -> None:
        self._seconds = self._offered = 0.0
        self._told = nan

    @property
    def scale(self) -> float:
        """The usual absolute error of a forecast one window ahead at the usual demand, tokens/s."""
        shadow = self.shadow
        if shadow.seen < 2:
            return self.first_scale
        return shadow.unit * sqrt(max(shadow.level, LEAST_ROOT * shadow.usual))

    def is_live(self, now: float) -> bool:
        """Whether the witness still reports."""
        return not self._is_away(now)
