"""Values that no honest sidecar reports, whatever its pod does."""

from forefill_operator.anomaly.finding import Finding
from forefill_protocol.messages import Forecast, PolicyReport

# Demand beyond this many times what the resource can give at all is no demand.
ABSURD = 1000.0
# Settling moves a few tokens between windows, and sums are rounded.
TOLERANCE = 0.05
ROUNDING = 1e-6


def impossible(entry: PolicyReport, carried: float | None, largest_request: float, max_rate: float) -> Finding | None:
    """`carried`: the backlog at the end of the window before, None when that window was not seen; tokens.

    `max_rate` is the policy's, tokens/s.
    """
    for sentence in (
        _absurd(entry, max_rate),
        _unordered(entry.forecasts),
        _without_requests(entry, largest_request),
        _more_than_offered(entry, carried, largest_request),
    ):
        if sentence:
            return Finding("Impossible", sentence, "Clamp")
    return None


def _absurd(entry: PolicyReport, max_rate: float) -> str:
    most = ABSURD * max_rate
    if entry.offered > most * max(entry.window_seconds, 1.0):
        return f"it reports {entry.offered:.4g} tokens offered in {entry.window_seconds:.1f} s; max is {max_rate:g}/s"
    for forecast in entry.forecasts:
        highest = max(forecast.mean, forecast.p95)
        if highest > most:
            return f"it forecasts {highest:.4g} tokens/s; max is {max_rate:g}/s"
    return ""


def _unordered(forecasts: list[Forecast]) -> str:
    for each in forecasts:
        slack = 1.0 + ROUNDING
        if each.p50 > each.p90 * slack or each.p90 > each.p95 * slack:
            return f"it forecasts p50 {each.p50:.4g}, p90 {each.p90:.4g}, p95 {each.p95:.4g}, which do not rise"
    return ""


def _without_requests(entry: PolicyReport, largest_request: float) -> str:
    """Settling may add tokens to a window without requests, but to what was admitted as well."""
    if entry.requests == 0 and entry.offered > (1.0 + TOLERANCE) * entry.admitted + largest_request:
        return f"it reports {entry.offered:.4g} tokens offered by no request, {entry.admitted:.4g} admitted"
    return ""


def _more_than_offered(entry: PolicyReport, carried: float | None, largest_request: float) -> str:
    if carried is None:
        return ""
    there = entry.offered + carried
    used = entry.admitted + entry.refused
    if used > (1.0 + TOLERANCE) * there + largest_request:
        return f"it admitted and refused {used:.4g} tokens, of {there:.4g} that were offered or waiting"
    return ""
