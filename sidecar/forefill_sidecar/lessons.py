"""What a window has brought, part by part, and what it teaches once it is over."""

from dataclasses import dataclass

from forefill_protocol.messages import Forecast
from forefill_protocol.policysettings import PolicySettings
from forefill_sidecar import local_time
from forefill_sidecar.counts import Counts
from forefill_sidecar.expectations import Expectations
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.meter import Window
from forefill_sidecar.profile import Profile

# A window this many times longer than its interval was not measured but slept through: a gap, not a load.
GAP_WINDOWS = 3.0
# A window cut this much shorter says too little of a whole one to learn from.
STUMP_WINDOWS = 0.4
# Standard deviations between a mean and its p95.
P95_DEVIATIONS = 1.64


@dataclass(slots=True)
class Lessons:
    """The running window since its start; `forecast` was made for it, None for a pod's first one."""

    expectations: Expectations
    counts: Counts
    seconds: float = 0.0
    offered: float = 0.0
    requests: int = 0
    forecast: Forecast | None = None

    def add(self, part: Window) -> None:
        self.seconds += part.window_seconds
        self.offered += part.offered
        self.requests += part.requests

    def teach(
        self,
        predictor: Predictor,
        profile: Profile | None,
        settings: PolicySettings,
        now: float,
        wall_time: float | None,
    ) -> None:
        """The window ended at `now`, `wall_time` in Unix seconds; where nobody knows that, days are counted on.

        Declared work that came is the declaration's: the model learns the rest.
        """
        windows = self.seconds / settings.report_interval_seconds
        if windows > GAP_WINDOWS:
            self._skip(predictor, profile, int(windows))
            if wall_time is not None:
                predictor.align(_second_of_week(wall_time, settings))
        elif windows >= STUMP_WINDOWS:
            if wall_time is not None:
                predictor.season.align(_second_of_week(wall_time - self.seconds, settings))
            if profile:
                profile.take(settings.cost.routes)
                profile.window(self.offered / self.seconds, self.requests, self.seconds)
            rate = (self.offered - self._declared(now)) / self.seconds
            if self.forecast:
                self.counts.scored(self.forecast, rate, self.seconds)
            predictor.observe(rate)
        self.seconds, self.offered, self.requests = 0.0, 0.0, 0

    def _declared(self, now: float) -> float:
        """Tokens of the window that were declared, as far as they exceed what was forecast without them."""
        if self.forecast is None:
            return 0.0
        mean, p95 = self.forecast.mean, self.forecast.p95
        chance = max(0.0, p95 - mean) / P95_DEVIATIONS * self.seconds
        came = self.expectations.settle(now, self.offered - mean * self.seconds, chance)
        self.counts.declared_tokens += came
        return came

    def _skip(self, predictor: Predictor, profile: Profile | None, windows: int) -> None:
        self.counts.gap_windows += windows
        if profile:
            profile.gap()
        predictor.skip(windows)


def _second_of_week(wall_time: float, settings: PolicySettings) -> float:
    return local_time.second_of_week(wall_time, local_time.zone(settings.forecast.time_zone))
