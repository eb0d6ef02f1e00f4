"""The default model: small experts, mixed by what each was worth in the situation that the client is in.

The point forecast minimises the absolute error, which is why some experts lean to the median. Weights are learned
for one window ahead and for three; two ahead lies between, farther uses those of three. So the cost of a window does
not grow with the horizon.
"""

from dataclasses import dataclass, field

from forefill_sidecar.forecast import situation
from forefill_sidecar.forecast.aggregation import Regrets, mix
from forefill_sidecar.forecast.damped_holt import DampedHolt
from forefill_sidecar.forecast.last_value import LastValue
from forefill_sidecar.forecast.mean_reversion import MeanReversion
from forefill_sidecar.forecast.shift_smoothing import ShiftSmoothing
from forefill_sidecar.forecast.simple_smoothing import SimpleSmoothing
from forefill_sidecar.forecast.situation import Situation
from forefill_sidecar.forecast.square_root import SquareRoot

Expert = LastValue | SimpleSmoothing | ShiftSmoothing | MeanReversion | SquareRoot | DampedHolt

NEAR, FAR = 1, 3
DISCOUNTED = 0.9
EXPERTS = 9


@dataclass(slots=True)
class Made:
    """What was forecast for one coming window, by the experts and by their mixture, and in which situation."""

    experts: list[float] = field(default_factory=lambda: [0.0] * EXPERTS)
    mixture: float = 0.0
    situation: int = situation.USUAL
    due: bool = False


@dataclass(slots=True)
class Mixer:
    """Learns one horizon: weights of the experts in each situation, and forecasts that wait for their window.

    `waiting` holds the forecast made one window ago first; one that was never made is not due.
    """

    waiting: list[Made]
    regrets: list[Regrets] = field(default_factory=lambda: [Regrets.of(EXPERTS) for _ in range(situation.COUNT)])

    @classmethod
    def ahead(cls, windows: int) -> "Mixer":
        return cls([Made() for _ in range(windows)])

    def learn(self, actual: float) -> None:
        made = self.waiting.pop()
        if made.due:
            self.regrets[made.situation].learn(made.experts, made.mixture, actual)

    def make(self, experts: list[float], mixture: float, present: int) -> None:
        self.waiting.insert(0, Made(experts, mixture, present, True))

    def skip(self, windows: int) -> None:
        for _ in range(min(windows, len(self.waiting))):
            self.waiting.pop()
            self.waiting.insert(0, Made())


@dataclass(slots=True)
class Ensemble:
    """Mixes nine experts; see `docs/forecasting.md` for what each contributes."""

    last: LastValue = field(default_factory=LastValue)
    slow: SimpleSmoothing = field(default_factory=lambda: SimpleSmoothing(0.1))
    quick: SimpleSmoothing = field(default_factory=lambda: SimpleSmoothing(0.3))
    shift: ShiftSmoothing = field(default_factory=lambda: ShiftSmoothing(0.05, 2.0))
    firm_shift: ShiftSmoothing = field(default_factory=lambda: ShiftSmoothing(0.02, 3.0))
    reversion: MeanReversion = field(default_factory=lambda: MeanReversion(0.01, 0.995))
    roots: SquareRoot = field(default_factory=SquareRoot)
    trend: DampedHolt = field(default_factory=lambda: DampedHolt(0.95, 0.6, 0.95))
    situation: Situation = field(default_factory=Situation)
    near: Mixer = field(default_factory=lambda: Mixer.ahead(NEAR))
    far: Mixer = field(default_factory=lambda: Mixer.ahead(FAR))
    points: list[float] = field(default_factory=lambda: [0.0] * FAR)

    def observe(self, value: float) -> None:
        self.near.learn(value)
        self.far.learn(value)
        for expert in self._experts():
            expert.observe(value)
        self.situation.observe(value)
        rows = self._rows(FAR)
        self.points = self._mixtures(rows)
        self.near.make(rows[NEAR - 1], self.points[NEAR - 1], self.situation.present)
        self.far.make(rows[FAR - 1], self.points[FAR - 1], self.situation.present)

    def skip(self, windows: int) -> None:
        for expert in self._experts():
            expert.skip(windows)
        self.near.skip(windows)
        self.far.skip(windows)
        self.points = self._mixtures(self._rows(FAR))

    def forecast(self, horizon: int) -> list[float]:
        if horizon <= FAR:
            return self.points[:horizon]
        return self._mixtures(self._rows(horizon))

    def _mixtures(self, rows: list[list[float]]) -> list[float]:
        near = self.near.regrets[self.situation.present].weights()
        far = self.far.regrets[self.situation.present].weights()
        nearest, second, *others = rows
        middle = 0.5 * (mix(far, second) + mix(near, second))
        return [mix(near, nearest), middle, *[mix(far, experts) for experts in others]]

    def _experts(self) -> tuple[Expert, ...]:
        return (
            self.last,
            self.slow,
            self.quick,
            self.shift,
            self.firm_shift,
            self.reversion,
            self.roots,
            self.trend,
        )

    def _rows(self, horizon: int) -> list[list[float]]:
        """One row a window ahead, one column an expert; the last column is the slow mean, discounted."""
        columns = [expert.forecast(horizon) for expert in self._experts()]
        columns.append([DISCOUNTED * mean for mean in columns[1]])
        return [list(row) for row in zip(*columns, strict=True)]
