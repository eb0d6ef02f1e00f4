"""One-step forecasts of the models that a policy can name, over a whole history at once.

Each takes windows (tokens/s, NaN where nobody measured), the first one's place in the week, and gives what it would
have forecast of each from those before it. They are the sidecar's models by their published formulas; tests hold both
against each other. What a sidecar's `Ensemble` forecast is not computed again: its reports tell.
"""

from collections.abc import Callable, Mapping, Sequence
from math import isnan
from operator import mul
from typing import NamedTuple

from forefill_operator.profiles.calendar import DAY_SECONDS, SLOTS, WORKING_DAYS

LOWEST_PHI, HIGHEST_PHI = -0.5, 0.99
MINUTES = 1440


class Course(NamedTuple):
    """`second_of_week` is that of the first window's start."""

    rates: Sequence[float]
    second_of_week: float
    interval: float

    def second(self, window: int) -> float:
        return (self.second_of_week + window * self.interval) % (7 * DAY_SECONDS)

    def slot(self, window: int, slots: int) -> int:
        return int(self.second(window) % DAY_SECONDS * slots / DAY_SECONDS)


def last_value(course: Course) -> list[float]:
    made, last = [], 0.0
    for rate in course.rates:
        made.append(last)
        last = last if isnan(rate) else rate
    return made


def simple_smoothing(course: Course, alpha: float = 0.3) -> list[float]:
    made, level, seen = [], 0.0, 0
    for rate in course.rates:
        made.append(level)
        if not isnan(rate):
            seen += 1
            level += max(alpha, 1.0 / seen) * (rate - level)
    return made


def adaptive_smoothing(course: Course, beta: float = 0.2) -> list[float]:
    """Trigg and Leach 1967."""
    made, level, error, size, seen = [], 0.0, 0.0, 0.0, 0
    for rate in course.rates:
        made.append(level)
        if isnan(rate):
            continue
        seen += 1
        off = rate - level
        if seen == 1:
            level = rate
            continue
        error += beta * (off - error)
        size += beta * (abs(off) - size)
        level += min(1.0, abs(error) / size) * off if size > 0.0 else 0.0
    return made


def damped_holt(course: Course, alpha: float = 0.3, beta: float = 0.1, phi: float = 0.9) -> list[float]:
    """Gardner and McKenzie 1985."""
    made, level, trend, seen = [], 0.0, 0.0, 0
    for rate in course.rates:
        expected = level + phi * trend
        made.append(max(0.0, expected))
        if isnan(rate):
            trend *= phi
            continue
        seen += 1
        risen = expected + alpha * (rate - expected) if seen > 1 else rate
        trend = beta * (risen - level) + (1.0 - beta) * phi * trend if seen > 1 else 0.0
        level = risen
    return made


def holt_winters(
    course: Course, alpha: float = 0.1, beta: float = 0.01, gamma: float = 0.3, phi: float = 0.9
) -> list[float]:
    """Winters 1960: a damped trend, and one value a minute of the day."""
    slots = max(1, min(MINUTES, round(DAY_SECONDS / course.interval)))
    seasonal, made, level, trend, seen = [0.0] * slots, [], 0.0, 0.0, 0
    for window, rate in enumerate(course.rates):
        slot, expected = course.slot(window, slots), level + phi * trend
        made.append(max(0.0, expected + seasonal[slot]))
        if isnan(rate):
            trend *= phi
            continue
        seen += 1
        if seen == 1:
            level = rate
            continue
        risen = expected + alpha * (rate - seasonal[slot] - expected)
        trend = beta * (risen - level) + (1.0 - beta) * phi * trend
        seasonal[slot] += gamma * (rate - risen - seasonal[slot])
        level = risen
    return made


def mean_reversion(course: Course, alpha: float = 0.1, decay: float = 0.99) -> list[float]:
    """First-order autoregression around a slow mean."""
    made, level, deviation, product, square, seen = [], 0.0, 0.0, 0.0, 0.0, 0
    for rate in course.rates:
        phi = min(HIGHEST_PHI, max(LOWEST_PHI, product / square)) if square > 0.0 else 0.0
        made.append(max(0.0, level + phi * deviation))
        if isnan(rate):
            deviation *= phi
            continue
        seen += 1
        level += max(alpha, 1.0 / seen) * (rate - level)
        before, deviation = deviation, rate - level
        product = decay * product + (1.0 - decay) * before * deviation
        square = decay * square + (1.0 - decay) * before * before
    return made


def intermittent(course: Course, alpha: float = 0.1, beta: float = 0.1) -> list[float]:
    """Teunter, Syntetos and Babai 2011."""
    made, chance, size, seen, filled = [], 0.0, 0.0, 0, 0
    for rate in course.rates:
        made.append(chance * size)
        if isnan(rate):
            continue
        seen += 1
        chance += max(alpha, 1.0 / seen) * ((rate > 0.0) - chance)
        if rate > 0.0:
            filled += 1
            size += max(beta, 1.0 / filled) * (rate - size)
    return made


def day_profile(course: Course, memory: float = 0.5, pace: float = 0.3) -> list[float]:
    """Means of the quarters of an hour of weekdays and weekend days, plus the recent deviation from them."""
    turn = 1.0 - memory ** (course.interval * SLOTS / DAY_SECONDS)
    means, counts = [[0.0] * SLOTS, [0.0] * SLOTS], [[0] * SLOTS, [0] * SLOTS]
    made, level, residual, seen = [], 0.0, 0.0, 0
    for window, rate in enumerate(course.rates):
        kind, slot = int(course.second(window) >= WORKING_DAYS * DAY_SECONDS), course.slot(window, SLOTS)
        known = next((each for each in (kind, 1 - kind) if counts[each][slot]), None)
        expected = level if known is None else means[known][slot]
        made.append(max(0.0, expected + residual))
        if isnan(rate):
            residual *= 1.0 - pace
            continue
        seen += 1
        residual += pace * ((rate - expected if seen > 1 else 0.0) - residual)
        level += max(turn / SLOTS, 1.0 / seen) * (rate - level)
        counts[kind][slot] += 1
        means[kind][slot] += max(turn, 1.0 / counts[kind][slot]) * (rate - means[kind][slot])
    return made


def arima(course: Course, ar: Sequence[float], ma: Sequence[float]) -> list[float]:
    """An ARIMA of differences run forward on given coefficients; signs as in messages.Inherited."""
    steps, errors = [0.0] * len(ar), [0.0] * len(ma)
    made, last, seen = [], 0.0, 0
    for rate in course.rates:
        step = sum(map(mul, ar, steps)) + sum(map(mul, ma, errors))
        made.append(max(0.0, last + step) if seen else 0.0)
        if isnan(rate):
            steps, errors = [0.0] * len(ar), [0.0] * len(ma)
            continue
        seen += 1
        if seen > 1:
            steps = [rate - last, *steps][: len(ar)]
            errors = [rate - last - step, *errors][: len(ma)]
        last = rate
    return made


MODELS: Mapping[str, Callable[[Course], list[float]]] = {
    "LastValue": last_value,
    "SimpleSmoothing": simple_smoothing,
    "AdaptiveSmoothing": adaptive_smoothing,
    "DampedHolt": damped_holt,
    "HoltWinters": holt_winters,
    "MeanReversion": mean_reversion,
    "DayProfile": day_profile,
    "Intermittent": intermittent,
}
