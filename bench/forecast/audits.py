"""What the operator's audit says of workloads, and whether it is true of the hours that follow.

The operator's own code learns twenty hours of reports, fits and audits; then every model runs on with the sidecar's
code for four hours more, `Arima` with the fitted coefficients too.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from bench.forecast.measure import ratio
from bench.forecast.series import SERVEGEN_DAY, Series, servegen, servegen_clients

from forefill_operator.profiles.calendar import Quarter
from forefill_operator.profiles.fit import fit
from forefill_operator.profiles.past import Fitted, Past
from forefill_operator.profiles.tasks import Task
from forefill_protocol.messages import PolicyReport
from forefill_protocol.policysettings import Inherited
from forefill_sidecar.forecast import MODELS
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.forecast.season import Season

LEARNED_HOURS = 20
USED = "Ensemble"
# Below this share of busy windows a ratio of errors says nothing.
BUSY_SHARE = 0.2
FITTED, COMMON = "Arima, fitted", "Arima, common"


def table(data: Path) -> Iterator[str]:
    audited: list[Mapping[str, float]] = []
    later: list[Mapping[str, float]] = []
    named: Counter[str] = Counter()
    for path in servegen_clients(data):
        series = servegen(path, SERVEGEN_DAY)
        begins = len(series.values) * LEARNED_HOURS // 24
        if min(np.mean(np.array(part) > 0.0) for part in (series.values[:begins], series.values[begins:])) < BUSY_SHARE:
            continue
        fitted = learned(series, begins)
        audited.append(fitted.skills)
        later.append(skills_later(series, begins, fitted))
        named[fitted.best] += 1
    yield f"{len(audited)} workloads. Skill: 1 - error over the last value's, one window ahead, mean over workloads."
    yield ""
    yield "| model | skill in the audit | skill in the four hours after | named best |"
    yield "|---|---|---|---|"
    for name in (*MODELS, FITTED):
        if name != "Arima":
            shown = "Arima" if name == FITTED else name
            before = np.mean([each[shown] for each in audited])
            yield f"| {name} | {before:.3f} | {np.mean([each[name] for each in later]):.3f} | {named[shown]} |"
    yield f"| {COMMON} | | {np.mean([each['Arima'] for each in later]):.3f} | |"


def learned(series: Series, begins: int) -> Fitted:
    """What the operator's code makes of the reports of a sidecar that runs the default model."""
    interval, past = series.interval_seconds, Past(series.interval_seconds)
    predictor = Predictor(USED, 1, Season(interval, series.second_of_week))
    for window, rate in enumerate(series.values[:begins], 1):
        predictor.observe(rate)
        tokens = rate * interval
        entry = PolicyReport("bench/series", interval, tokens, tokens, 0.0, 0.0, 1, predictor.forecasts())
        past.hear("pod", entry, Quarter(0, False, 0), window * interval)
    return fit(Task.of(past.history.ordered(), series.second_of_week, interval, USED))


def skills_later(series: Series, begins: int, fitted: Fitted) -> dict[str, float]:
    errors = {name: error(series, begins, name, None) for name in MODELS}
    coefficients = Inherited(series.interval_seconds, 1.0, 0.0, ar=fitted.ar, ma=fitted.ma)
    errors[FITTED] = error(series, begins, "Arima", coefficients)
    return {name: 1.0 - ratio(each, errors["LastValue"]) for name, each in errors.items()}


def error(series: Series, begins: int, model: str, inherited: Inherited | None) -> float:
    """Mean absolute error of the point forecast, one window ahead, from `begins` on."""
    predictor = Predictor(model, 1, Season(series.interval_seconds, series.second_of_week))
    if inherited is not None:
        predictor.inherit(inherited)
    errors = []
    for window, value in enumerate(series.values):
        if window >= begins:
            errors.append(abs(value - predictor.forecasts()[0].mean))
        predictor.observe(value)
    return float(np.mean(errors))
