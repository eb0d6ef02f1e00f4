"""Parameters fitted by statsmodels. Only the fit process imports it: it takes more memory than the whole operator.

Every fit acts on differences: a new pod need not be at the level of the others. An ETS is handed on as the ARIMA that
it equals (Hyndman et al. 2008, section 11.1), for that is what a sidecar runs in O(p + q).
"""

import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import NDArray
from statsmodels.tsa.arima.model import ARIMA
from statsmodels.tsa.holtwinters import Holt, SimpleExpSmoothing

from forefill_operator.profiles.audit import Coefficients

# Demand around a steady level has moving averages that never forget; sidecars must follow when the level moves, so
# roots lie inside this circle: what was a hundred windows ago counts for a third.
FARTHEST = 0.99
MOST_ITERATIONS = 50


def candidates(values: Sequence[float]) -> Iterator[Coefficients]:
    """Fits that are stationary and invertible. `values` have no gaps and are not all the same."""
    series = np.asarray(values, dtype=float)
    # In units of the usual change: optimisers start from steps of about 1.
    series = series / np.abs(np.diff(series)).mean()
    for make in (_smoothing, _damped_trend, _arima(1, 1), _arima(2, 2)):
        with warnings.catch_warnings():
            # One that did not converge is judged by its errors like any other.
            warnings.simplefilter("ignore")
            try:
                made = make(series)
            except (ValueError, ArithmeticError, IndexError, LinAlgError):
                continue
        if np.isfinite([*made.ar, *made.ma]).all():
            yield Coefficients(tamed(made.ar), [-each for each in tamed([-each for each in made.ma])])


def tamed(coefficients: Sequence[float]) -> list[float]:
    """Those of x_t = sum c_i x_{t-i}, its roots drawn in towards 0 until it dies out fast enough."""
    farthest = max(np.abs(np.roots([1.0, *(-each for each in coefficients)])), default=0.0)
    pull = FARTHEST / max(farthest, FARTHEST)
    return [float(each * pull**power) for power, each in enumerate(coefficients, 1)]


Series = NDArray[np.float64]


def _smoothing(series: Series) -> Coefficients:
    """ETS(A,N,N), which is an ARIMA(0,1,1)."""
    alpha = SimpleExpSmoothing(series, initialization_method="estimated").fit().params["smoothing_level"]
    return Coefficients([], [float(alpha) - 1.0])


def _damped_trend(series: Series) -> Coefficients:
    """ETS(A,Ad,N), which is an ARIMA(1,1,2)."""
    found = Holt(series, damped_trend=True, initialization_method="estimated").fit().params
    return damped_trend(found["smoothing_level"], found["smoothing_trend"], found["damping_trend"])


def damped_trend(alpha: float, beta: float, phi: float) -> Coefficients:
    """The level moves by `alpha` of an error, the trend by `beta` of what the level moved, and fades by `phi`."""
    return Coefficients([float(phi)], [float(alpha + phi * alpha * beta - 1.0 - phi), float((1.0 - alpha) * phi)])


def _arima(ar: int, ma: int) -> Callable[[Series], Coefficients]:
    def make(series: Series) -> Coefficients:
        fitted = ARIMA(series, order=(ar, 1, ma)).fit(method_kwargs={"maxiter": MOST_ITERATIONS})
        return Coefficients(fitted.arparams.tolist(), fitted.maparams.tolist())

    return make
