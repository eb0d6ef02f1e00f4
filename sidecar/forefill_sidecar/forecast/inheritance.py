"""What a new pod starts from when its workload is known: as if it had seen a little of what that usually brings.

A model takes up the workload's days, coefficients and weights where it has such. It is then shown the last windows of
another pod or, where these are not known, made-up ones around the level of the present hour. So levels, error sizes and
quantiles begin where the workload's are, and are forgotten at each model's own pace where this pod is different.
"""

from math import sqrt
from typing import Final

from forefill_protocol.policysettings import Inherited
from forefill_sidecar.forecast import Forecaster
from forefill_sidecar.forecast.arima import Arima, stable
from forefill_sidecar.forecast.day_profile import DayProfile
from forefill_sidecar.forecast.ensemble import EXPERTS, Ensemble
from forefill_sidecar.forecast.holt_winters import HoltWinters
from forefill_sidecar.forecast.season import Season

REHEARSED: Final = 24
# Deviations from the level: of mean 0 and mean absolute value 1, skewed as demand is, in no order.
NOISE: Final = (0.3, -1.2, -0.2, 1.8, -0.8, 0.5, -1.4, 0.4, 2.9, -0.6, -1.0, 0.7, -0.4, -1.1, 1.4, -1.3)
# Inherited weights of experts count like this many windows of experience.
EXPERIENCE: Final = 20
# How far experts usually lie from their mixture, in error sizes.
DISAGREEMENT: Final = 0.3


def usual(inherited: Inherited, season: Season, ahead: int = 0) -> float:
    """What the window `ahead` of the present one usually brings, tokens/s."""
    own, other = inherited.weekday, inherited.weekend
    if season.weekend(ahead):
        own, other = other, own
    factors = own or other
    return inherited.level * (factors[season.slot(len(factors), ahead)] if factors else 1.0)


def rehearsal(inherited: Inherited, season: Season) -> list[float]:
    """Windows to begin with. Made-up ones lie around what the hour usually brings, errors grow with its root."""
    if inherited.recent:
        return list(inherited.recent)
    level = usual(inherited, season)
    scale = inherited.scale * (sqrt(level / inherited.level) if inherited.level > 0.0 else 1.0)
    return [max(0.0, level + scale * NOISE[step % len(NOISE)]) for step in range(REHEARSED)]


def prepared(model: Forecaster, inherited: Inherited) -> Forecaster:
    """A model that has learned nothing yet, with the workload's days and coefficients. Unstable ones are left."""
    if isinstance(model, Arima) and stable(inherited.ar) and stable([-each for each in inherited.ma]):
        if inherited.ar or inherited.ma:
            return Arima(list(inherited.ar), list(inherited.ma), inherited.differenced, inherited.level)
    elif isinstance(model, DayProfile):
        model.inherit(inherited.level, inherited.weekday, inherited.weekend)
    elif isinstance(model, HoltWinters):
        day = inherited.weekday or inherited.weekend
        if day:
            model.inherit(inherited.level, day)
    return model


def weigh(model: Forecaster, inherited: Inherited) -> None:
    """Let the default model trust its experts as the workload's pods came to, in every situation."""
    if not isinstance(model, Ensemble) or len(inherited.experts) != EXPERTS or inherited.scale <= 0.0:
        return
    gain = DISAGREEMENT * inherited.scale
    for mixer in (model.near, model.far):
        for regrets in mixer.regrets:
            regrets.sums = [weight * gain * EXPERIENCE for weight in inherited.experts]
            regrets.squares = [gain * gain * EXPERIENCE] * EXPERTS
            regrets.seen = EXPERIENCE
