"""ARIMA run forward on given coefficients: the fit is done elsewhere, a window costs O(p + q)."""

from dataclasses import dataclass, field

# The fit to many clients at once when none has been made for this one: smoothing whose errors persist a little.
COMMON_AR, COMMON_MA = (0.3,), (-0.7,)
LONGEST = 8


def stable(coefficients: list[float]) -> bool:
    """Whether x_t = sum c_i x_{t-i} dies out: every reflection coefficient lies inside (-1, 1) (Schur and Cohn)."""
    rest = list(coefficients)
    while rest:
        last = rest.pop()
        if not -1.0 < last < 1.0:
            return False
        rest = [(own + last * mirror) / (1.0 - last * last) for own, mirror in zip(rest, reversed(rest), strict=True)]
    return True


@dataclass(slots=True)
class Arima:
    """`ar` and `ma` act on the differences of demand (`differenced`) or on demand less `mean`.

    Signs are those of x_t = sum ar_i x_{t-i} + e_t + sum ma_i e_{t-i}. ValueError when it would not be stationary
    and invertible.
    """

    ar: list[float] = field(default_factory=lambda: list(COMMON_AR))
    ma: list[float] = field(default_factory=lambda: list(COMMON_MA))
    differenced: bool = True
    mean: float = 0.0
    values: list[float] = field(init=False)
    errors: list[float] = field(init=False)
    last: float = 0.0
    seen: int = 0

    def __post_init__(self) -> None:
        if not stable(self.ar):
            raise ValueError(f"ar is {self.ar}; the process would not be stationary")
        if not stable([-each for each in self.ma]):
            raise ValueError(f"ma is {self.ma}; the process would not be invertible")
        self.values, self.errors = [0.0] * len(self.ar), [0.0] * len(self.ma)

    def resize(self, plain: object) -> None:
        """Make room for the coefficients of a snapshot, which may have been inherited."""
        for name, recent in (("ar", "values"), ("ma", "errors")):
            held = plain.get(name) if isinstance(plain, dict) else None
            if isinstance(held, list) and len(held) <= LONGEST:
                setattr(self, name, [0.0] * len(held))
                setattr(self, recent, [0.0] * len(held))

    def observe(self, value: float) -> None:
        self.seen += 1
        base = self.last if self.differenced else self.mean
        if self.seen > 1 or not self.differenced:
            step = value - base
            self._shift(step, step - self._step(self.values, self.errors))
        self.last = value

    def _step(self, values: list[float], errors: list[float]) -> float:
        return _dot(self.ar, values) + _dot(self.ma, errors)

    def _shift(self, step: float, error: float) -> None:
        self.values = [step, *self.values][: len(self.ar)]
        self.errors = [error, *self.errors][: len(self.ma)]

    def skip(self, windows: int) -> None:
        """Steps and errors from before a gap no longer say which way demand is going."""
        if windows:
            self.values, self.errors = [0.0] * len(self.ar), [0.0] * len(self.ma)

    def forecast(self, horizon: int) -> list[float]:
        values, errors, last, means = self.values, self.errors, self.last, []
        for _ in range(horizon if self.seen else 0):
            step = self._step(values, errors)
            last = (last if self.differenced else self.mean) + step
            values = [step, *values][: len(self.ar)]
            errors = [0.0, *errors][: len(self.ma)]
            means.append(max(0.0, last))
        return means or [0.0] * horizon


def _dot(coefficients: list[float], recent: list[float]) -> float:
    return sum([weight * each for weight, each in zip(coefficients, recent, strict=True)])
