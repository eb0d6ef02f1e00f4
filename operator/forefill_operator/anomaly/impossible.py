"""Values that no honest sidecar reports, whatever its pod does."""

from forefill_operator.anomaly.finding import Finding
from forefill_protocol.messages import Forecast, PolicyReport

# Demand beyond this many times what the resource can give at all is no demand.
ABSURD = 1000.0
# Settling moves a few tokens between windows, and sums are rounded.
TOLERANCE = 0.05
ROUNDED = 1.0 + 1e-6


def impossible(entry: PolicyReport, carried: float | None, largest_request: float, max_rate: float) -> Finding | None:
    """`carried`: the backlog at the end of the window before, None when that window was not seen; tokens.

    `max_rate` is the policy's, tokens/s.
    """
    sentence = (
        _absurd(entry, ABSURD * max_rate)
        or _unordered(entry.forecasts)
        or _without_requests(entry, largest_request)
        or (_more_than_offered(entry, carried, largest_request) if carried is not None else "")
    )
    return Finding("Impossible", sentence, "Clamp") if sentence else None


def _absurd(entry: PolicyReport, most: float) -> str:
    """`most` tokens/s are beyond anything that the policy could serve."""
    if entry.offered > most * (entry.window_seconds if entry.window_seconds > 1.0 else 1.0):
        return f"it reports {entry.offered:.4g} tokens offered in {entry.window_seconds:.1f} s, of {most:.4g}/s at most"
    for each in entry.forecasts:
        if each.mean > most or each.p95 > most:
            return f"it forecasts {max(each.mean, each.p95):.4g} tokens/s, of {most:.4g} at most"
    return ""


def _unordered(forecasts: list[Forecast]) -> str:
    for each in forecasts:
        p90 = each.p90
        if each.p50 > ROUNDED * p90 or p90 > ROUNDED * each.p95:
            return f"it forecasts p50 {each.p50:.4g}, p90 {each.p90:.4g}, p95 {each.p95:.4g}, which do not rise"
    return ""


def _without_requests(entry: PolicyReport, largest_request: float) -> str:
    """Settling may add tokens to a window without requests, but to what was admitted as well."""
    if entry.requests == 0 and entry.offered > (1.0 + TOLERANCE) * entry.admitted + largest_request:
        return f"it reports {entry.offered:.4g} tokens offered by no request, {entry.admitted:.4g} admitted"
    return ""


def _more_than_offered(entry: PolicyReport, carried: float, largest_request: float) -> str:
    """Marked retries are no new demand but may be admitted: they are among the arrivals, whose costs are known."""
    arrivals = entry.requests * entry.cost.mean if entry.cost is not None else 0.0
    there = entry.offered + carried + arrivals
    used = entry.admitted + entry.refused
    if used > (1.0 + TOLERANCE) * there + largest_request:
        return f"it admitted and refused {used:.4g} tokens, of {there:.4g} that arrived, were offered or waited"
    return ""
