"""Jumps, level shifts and unusual hours of one series: deviations larger than any that it has shown lately.

Four deviations are watched, each in both directions: the error of the forecast, the means of the last two and eight
hours against that of the last two days, and the mean of the last hour against the hour's profile. Each is held against
the largest of its own past (all of yesterday's and today's, older ones fading): what happens every day is no anomaly,
however large, and a noisy series sets itself wide limits.
"""

from array import array
from typing import Literal, NamedTuple

HOUR_SECONDS, DAY_SECONDS = 3600.0, 86400.0
HOURS = 24
SLOW_SECONDS = 2.0 * DAY_SECONDS
PROFILE_SHARE = 0.3
# Share of the largest deviation that is remembered from one day to the next.
KEPT = 0.7
# No limit is below this many times the usual deviation.
LEAST = 3.0
# No deviation below this share of the mean of two days is one.
LEAST_SHARE = 0.03
# The first day teaches limits; alarms closer than this are one.
WARM_UP_SECONDS = DAY_SECONDS
QUIET_SECONDS = 0.4 * DAY_SECONDS

Source = Literal["Jump", "Shift", "OffProfile"]


class Watched(NamedTuple):
    """One deviation, and the ratio to its own past at which it alarms."""

    source: Source
    ratio: float
    words: str


WATCHED = (
    Watched("Jump", 3.0, "one window was {:.4g} off the forecast"),
    Watched("Shift", 1.05, "the mean of two hours lies {:.4g} off that of two days"),
    Watched("Shift", 1.05, "the mean of eight hours lies {:.4g} off that of two days"),
    Watched("OffProfile", 2.0, "the mean of an hour lies {:.4g} off the profile of its day"),
)
RATIOS = tuple(watched.ratio for watched in WATCHED)
# Of each deviation: the largest above and below today, the same before today, and the usual size.
UP, DOWN, BEFORE, USUAL, WIDTH = 0, 1, 2, 4, 5
# Means of two hours, eight hours, an hour off its profile, and two days.
TWO, EIGHT, HOUR, SLOW = 0, 1, 2, 3


class Alarm(NamedTuple):
    """`ratio`: the deviation over the largest of its past; `sentence` has the figures, in tokens/s."""

    source: Source
    ratio: float
    sentence: str


class Novelty:
    """Feed it one window at a time. `factor` on all ratios makes it less (above 1) or more sensitive."""

    __slots__ = ("_began_at", "_day", "_limits", "_means", "_over_at", "_profile", "_seen")

    def __init__(self) -> None:
        self._limits = array("d", bytes(8 * WIDTH * len(WATCHED)))
        self._means = array("d", bytes(8 * 4))
        self._profile = array("f", [-1.0]) * HOURS
        self._seen = 0
        self._day = 0
        self._began_at = 0.0
        self._over_at = float("-inf")

    def observe(self, rate: float, error: float, seconds: float, factor: float, now: float) -> Alarm | None:
        """A window of `seconds` that ended at `now` brought `rate`, `error` more than forecast; tokens/s."""
        if self._seen == 0:
            self._began_at = now
            self._means = array("d", (rate, rate, 0.0, rate))
        self._seen += 1
        day = int((now - self._began_at) / DAY_SECONDS)
        if day > self._day:
            self._turn_day(day - self._day)
            self._day = day
        return self._measure(rate, error, seconds, factor, now)

    def _measure(self, rate: float, error: float, seconds: float, factor: float, now: float) -> Alarm | None:
        least = LEAST_SHARE * self._means[SLOW]
        deviations = (error, *self._follow_means(rate, seconds, now))
        pace = 0.5 * seconds / DAY_SECONDS
        pace = pace if pace * self._seen > 1.0 else 1.0 / self._seen
        limits, at = self._limits, 0
        alarm: tuple[int, float, float] | None = None
        for ratio, deviation in zip(RATIOS, deviations, strict=True):
            size, side = (deviation, at) if deviation > 0.0 else (-deviation, at + 1)
            today, before, usual = limits[side], limits[side + BEFORE], limits[at + USUAL]
            largest = today if today > before else before
            if largest < LEAST * usual:
                largest = LEAST * usual
            if size > today:
                limits[side] = size
            limits[at + USUAL] = usual + pace * (size - usual)
            if size > factor * ratio * largest > 0.0 and size > least and (alarm is None or size > alarm[1] * largest):
                alarm = (at // WIDTH, size / largest, deviation)
            at += WIDTH
        return self._quietened(*alarm, now) if alarm else None

    def _follow_means(self, rate: float, seconds: float, now: float) -> tuple[float, float, float]:
        """How far the means of two and eight hours lie off that of two days, and that of an hour off its profile."""
        means, start = self._means, 1.0 / self._seen
        two, eight, hour, slow = means
        off = self._off_profile(rate, seconds / HOUR_SECONDS, now)
        pace = seconds / HOUR_SECONDS
        hour += (start if start > pace else pace if pace < 1.0 else 1.0) * (off - hour)
        pace *= 0.5
        two += (start if start > pace else pace if pace < 1.0 else 1.0) * (rate - two)
        pace *= 0.25
        eight += (start if start > pace else pace if pace < 1.0 else 1.0) * (rate - eight)
        pace = seconds / SLOW_SECONDS
        means[TWO], means[EIGHT], means[HOUR] = two, eight, hour
        means[SLOW] = slow + (start if start > pace else pace) * (rate - slow)
        return two - slow, eight - slow, hour

    def _quietened(self, place: int, ratio: float, deviation: float, now: float) -> Alarm | None:
        """None on the first day, and while the last alarm has not been over for long."""
        if now < self._began_at + WARM_UP_SECONDS:
            return None
        is_new = now > self._over_at + QUIET_SECONDS
        self._over_at = now
        watched = WATCHED[place]
        return Alarm(watched.source, ratio, _sentence(watched.words, deviation, ratio)) if is_new else None

    def _off_profile(self, rate: float, hours: float, now: float) -> float:
        hour = int(now % DAY_SECONDS / HOUR_SECONDS)
        expected = self._profile[hour]
        if expected < 0.0:
            self._profile[hour] = rate
            return 0.0
        self._profile[hour] = expected + PROFILE_SHARE * min(hours, 1.0) * (rate - expected)
        return rate - expected

    def _turn_day(self, days: int) -> None:
        limits = self._limits
        for at in range(0, len(limits), WIDTH):
            for side in (at + UP, at + DOWN):
                fading = max(limits[side], KEPT * limits[side + BEFORE])
                limits[side + BEFORE] = fading * KEPT ** (days - 1)
                limits[side] = 0.0


def _sentence(words: str, deviation: float, ratio: float) -> str:
    return f"{words.format(deviation)} tokens/s, {ratio:.1f} times the most of the days before"
