"""Which model would have served a workload best: each one's error on the last windows of its history. Pure."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import NamedTuple

from forefill_operator.profiles.models import MODELS, Course, arima

# The last part of a history is audited; parameters are fitted to what lies before it.
AUDITED_SHARE = 0.3
# Another model is named only when it is better than the one in use by so much: names should not turn with the wind.
MARGIN = 0.01


class Coefficients(NamedTuple):
    """An ARIMA of differences; signs as in messages.Inherited."""

    ar: Sequence[float]
    ma: Sequence[float]

    def run(self, course: Course) -> list[float]:
        return arima(course, self.ar, self.ma)


def audited_from(windows: int) -> int:
    """The first window of the audited part; the very first window of a history is never audited."""
    return max(windows - int(windows * AUDITED_SHARE), 1)


def skills(
    course: Course, told: Sequence[float], used: str, coefficients: Coefficients | None = None
) -> dict[str, float]:
    """By model: 1 - its mean absolute error over the last value's, one window ahead, on the audited part.

    `used` is the policy's model: its skill is that of what the sidecars really `told`, where they told something.
    """
    made: dict[str, Sequence[float]] = {name: model(course) for name, model in MODELS.items()}
    if coefficients is not None:
        made["Arima"] = coefficients.run(course)
    rates = course.rates
    if any(not isnan(each) for each in told[audited_from(len(rates)) :]):
        made[used] = told
    places = [
        place
        for place in range(audited_from(len(rates)), len(rates))
        if not isnan(rates[place]) and not (used in made and isnan(made[used][place]))
    ]
    errors = {name: sum(abs(rates[place] - each[place]) for place in places) for name, each in made.items()}
    base = errors["LastValue"]
    return {name: 1.0 - error / base if base > 0.0 else 0.0 for name, error in errors.items()}


def error(rates: Sequence[float], made: Sequence[float]) -> float:
    """Mean absolute error on the audited part."""
    pairs = zip(rates, made, strict=True)
    errors = [abs(rate - forecast) for rate, forecast in list(pairs)[audited_from(len(rates)) :] if not isnan(rate)]
    return sum(errors) / len(errors) if errors else 0.0


def best(skills: Mapping[str, float], used: str) -> str:
    """The model with the highest skill; the one in use when none is clearly better."""
    name = max(skills, key=lambda each: skills[each])
    return name if used not in skills or skills[name] > skills[used] + MARGIN else used
