"""The operator's own forecast of one client, made from what the client offered and from nothing that it says.

An AR(1) around a slow mean, its coefficient estimated online, and quantiles of its errors by online tracking (the
proportional part of conformal PID control; Angelopoulos, Candes and Tibshirani 2023). A step is O(1).
"""

from math import sqrt

LEVEL_PACE, MOMENT_DECAY = 0.1, 0.99
LOWEST_PHI, HIGHEST_PHI = -0.5, 0.99
# Typical quantiles of errors in mean absolute errors, to start with; demand is skewed and has heavy tails.
FIRST_OFFSETS = (-0.05, 1.65, 2.45)
STEP, UNIT_PACE, USUAL_PACE = 0.05, 0.05, 0.02
# One error moves the size of errors by at most this many times its value, once it is settled.
MOST_UNITS, SETTLED = 10.0, 20
# Below this share of the usual demand a client rests: nights teach nothing of busy hours.
IDLE = 0.01
LEAST_ROOT = 0.25
# Less than a token in thirty years is as good as none: its square root would be no unit to measure errors in.
LEAST_RATE = 1e-9


class Shadow:
    """`mean`, `p90` and `p95` forecast the next window, `size` its absolute error; tokens/s.

    `unit` is the usual absolute error over the square root of the forecast (as the noise of counts grows), `usual` the
    demand of windows in which the client did not rest; offsets are in units.
    """

    __slots__ = (
        "_root",
        "deviation",
        "level",
        "mean",
        "offset50",
        "offset90",
        "offset95",
        "p90",
        "p95",
        "phi",
        "product",
        "seen",
        "size",
        "square",
        "unit",
        "usual",
    )

    def __init__(self) -> None:
        self.level = self.deviation = self.product = self.square = self.phi = 0.0
        self.unit = self.usual = self.mean = self.size = self.p90 = self.p95 = 0.0
        self.offset50, self.offset90, self.offset95 = FIRST_OFFSETS
        self._root = 1.0
        self.seen = 0

    def observe(self, rate: float) -> None:
        """Take what the client offered in the window that ended, tokens/s: learn from the error, forecast the next."""
        self.seen = seen = self.seen + 1
        start = 1.0 / seen
        if rate > IDLE * self.usual or self.mean > IDLE * self.usual:
            if seen > 1:
                self._learn(rate, start)
            self._follow_usual(rate, start)
        self.level += (LEVEL_PACE if start < LEVEL_PACE else start) * (rate - self.level)
        before, self.deviation = self.deviation, rate - self.level
        self.product += (1.0 - MOMENT_DECAY) * (before * self.deviation - self.product)
        self.square += (1.0 - MOMENT_DECAY) * (before * before - self.square)
        if self.square > 0.0:
            phi = self.product / self.square
            self.phi = HIGHEST_PHI if phi > HIGHEST_PHI else LOWEST_PHI if phi < LOWEST_PHI else phi
        self._forecast()

    def _follow_usual(self, rate: float, start: float) -> None:
        usual = self.usual
        if self.seen > SETTLED and rate > MOST_UNITS * usual > 0.0:
            rate = MOST_UNITS * usual
        self.usual = usual + (USUAL_PACE if start < USUAL_PACE else start) * (rate - usual)

    def _learn(self, rate: float, start: float) -> None:
        unit = self.unit
        scaled = (rate - self.mean) / self._root
        if unit > 0.0:
            below = scaled / unit
            low = self.offset50 + STEP * (0.5 if below > self.offset50 else -0.5)
            middle = self.offset90 + STEP * (0.9 if below > self.offset90 else -0.1)
            high = self.offset95 + STEP * (0.95 if below > self.offset95 else -0.05)
            self.offset50 = low
            self.offset90 = middle = middle if middle > low else low
            self.offset95 = high if high > middle else middle
        size = abs(scaled)
        if self.seen > SETTLED and size > MOST_UNITS * unit > 0.0:
            size = MOST_UNITS * unit
        self.unit += (UNIT_PACE if start < UNIT_PACE else start) * (size - unit)

    def skip(self, windows: int) -> None:
        """Let windows pass that nobody measured: the deviation from the mean fades as the model says."""
        self.deviation *= self.phi**windows
        self._forecast()

    def _forecast(self) -> None:
        mean = self.level + self.phi * self.deviation
        self.mean = mean = mean if mean > 0.0 else 0.0
        least = LEAST_ROOT * self.usual
        basis = mean if mean > least else least
        self._root = root = sqrt(basis) if basis > LEAST_RATE else 1.0
        self.size = size = self.unit * root
        p90, p95 = mean + self.offset90 * size, mean + self.offset95 * size
        self.p90 = p90 if p90 > 0.0 else 0.0
        self.p95 = p95 if p95 > 0.0 else 0.0
