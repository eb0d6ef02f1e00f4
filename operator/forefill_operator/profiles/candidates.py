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

# Roots nearer to the unit circle than this are too near: a sidecar would run away on them.
FARTHEST = 0.999
MOST_ITERATIONS = 50


def candidates(values: Sequence[float]) -> Iterator[Coefficients]:
    """Every fit that is stationary and invertible. `values` have no gaps and are not all the same."""
    series = np.asarray(values, dtype=float)
    # Fits are made in units of the usual demand: optimisers start from steps of about 1.
    series = series / max(float(series.mean()), 1e-12)
    for make in (_smoothing, _damped_trend, _arima(1, 1), _arima(2, 2)):
        with warnings.catch_warnings():
            # One that did not converge is judged by its errors like any other.
            warnings.simplefilter("ignore")
            try:
                made = make(series)
            except (ValueError, ArithmeticError, IndexError, LinAlgError):
                continue
        if is_stable(made.ar) and is_stable([-each for each in made.ma]):
            yield made


def is_stable(coefficients: Sequence[float]) -> bool:
    """Whether x_t = sum c_i x_{t-i} dies out, and not too slowly."""
    roots = np.roots([1.0, *(-each for each in coefficients)])
    return bool(np.isfinite(coefficients).all() and (np.abs(roots) < FARTHEST).all())


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
