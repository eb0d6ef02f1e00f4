"""What one client needs, read from its reports and bounded: no number in a report is used as it comes."""

from math import sqrt

from msgspec import Struct

from forefill_operator.appraisal import Appraisal
from forefill_protocol.messages import PolicyReport

# A window that was closed early may be so short that one request looks like a flood: rates are over at least this.
SHORTEST_WINDOW_SECONDS = 1.0
# What exceeds the forecast in an early report is taken to have come in the last seconds before it.
SURPRISE_SECONDS = 2.0
# How fast `offered` follows the newest window.
REACTIVE_PACE = 0.5
# Standard deviations between mean and p95, and how many of them chance explains; twice as many are past all doubt.
SPREAD_DEVIATIONS, CHANCE = 1.64, 2.0


class Demand(Struct, frozen=True, gc=False):
    """Tokens/s: `request` is what the client asks for, `reactive` what its past windows alone (`offered`) would ask.

    `spread` is how far its p95 lies above its mean. `owed` counts tokens that it offered and that were neither
    admitted nor refused: no more backlog than that is believed. `waiting` is the believed backlog, tokens.
    """

    request: float
    reactive: float
    spread: float = 0.0
    owed: float = 0.0
    waiting: float = 0.0
    offered: float = 0.0


class Window(Struct):
    """The parts of a client's window, as its early reports and the last one tell of them: seconds and tokens.

    Of what was offered enforcement would have held up `would_wait` and turned away `would_refuse`, in mode Observe.
    """

    seconds: float = 0.0
    offered: float = 0.0
    admitted: float = 0.0
    refused: float = 0.0
    would_wait: float = 0.0
    would_refuse: float = 0.0

    def add(self, entry: PolicyReport) -> None:
        self.seconds += entry.window_seconds
        self.offered += entry.offered
        self.admitted += entry.admitted
        self.refused += entry.refused
        if entry.would_wait or entry.would_refuse:
            refuse = min(entry.would_refuse, entry.offered)
            self.would_refuse += refuse
            self.would_wait += min(entry.would_wait, entry.offered - refuse)

    def rate_of(self, tokens: float) -> float:
        seconds = self.seconds
        return tokens / (seconds if seconds > SHORTEST_WINDOW_SECONDS else SHORTEST_WINDOW_SECONDS)


def demand_of(
    entry: PolicyReport,
    window: Window,
    appraisal: Appraisal | None,
    before: Demand | None,
    interval_seconds: float,
    highest_rate: float,
) -> Demand:
    """request = the believed forecast + believed backlog / interval, at most `highest_rate`; declared work comes apart.

    `window` includes this entry; `before` is what the report before this one came to.
    """
    most = highest_rate * interval_seconds
    owed = before.owed if before else 0.0
    owed = min(max(owed + entry.offered - entry.admitted - entry.refused, 0.0), most)
    waiting = min(entry.backlog, owed)
    mean, spread = believed(entry, window, appraisal)
    offered = window.rate_of(window.offered)
    backlog = waiting / interval_seconds
    if before is not None:
        # A part of a window says too little of what usually comes.
        offered = before.offered + (0.0 if entry.early else REACTIVE_PACE * (offered - before.offered))
    return Demand(
        request=min(mean + backlog, highest_rate),
        reactive=min(offered + backlog, highest_rate),
        offered=offered,
        spread=min(spread, highest_rate),
        owed=owed,
        waiting=waiting,
    )


def believed(entry: PolicyReport, window: Window, appraisal: Appraisal | None) -> tuple[float, float]:
    """Mean and spread (p95 - mean) of the next window, tokens/s: shadow + trust * (forecast - shadow)."""
    nearest = entry.forecasts[0] if entry.forecasts else None
    if appraisal is None or (appraisal.is_newcomer and appraisal.shadow <= 0.0):
        if nearest is None:
            return window.rate_of(window.offered), 0.0
        return nearest.mean, max(nearest.p95 - nearest.mean, 0.0)
    trust = trust_in(appraisal)
    if nearest is None or trust <= 0.0:
        return appraisal.shadow, appraisal.shadow_spread
    mean = appraisal.shadow + trust * (nearest.mean - appraisal.shadow)
    spread = max(nearest.p95 - nearest.mean, 0.0)
    return mean, appraisal.shadow_spread + trust * (spread - appraisal.shadow_spread)


def trust_in(appraisal: Appraisal) -> float:
    """How far what the client says of its future counts, in [0, 1]."""
    return appraisal.trust if appraisal.verdict == "None" else 0.0


def lately(entry: PolicyReport) -> tuple[float, float]:
    """Seconds, and tokens offered in them: the last second or two where the sidecar tells of it, else the part."""
    if entry.recent_seconds > 0.0:
        return entry.recent_seconds, entry.recent_offered
    return entry.window_seconds, entry.offered


def surprise(
    entry: PolicyReport, mean: float, spread: float, interval_seconds: float, highest_rate: float
) -> tuple[float, float]:
    """How far demand lies above its forecast since shortly before an early report, and how far it may, tokens/s.

    What chance explains is only possible: a part of a window strays by the root of its length from what the whole one
    does, and `spread` is 1.64 standard deviations of that.
    """
    seconds, offered = lately(entry)
    excess = offered - mean * seconds
    if excess <= 0.0:
        return 0.0, 0.0
    usual = spread / SPREAD_DEVIATIONS * sqrt(interval_seconds * max(seconds, SHORTEST_WINDOW_SECONDS))
    certainty = min(max((excess / usual - CHANCE) / CHANCE, 0.0), 1.0) if usual > 0.0 else 1.0
    rate = min(excess / min(max(seconds, SHORTEST_WINDOW_SECONDS), SURPRISE_SECONDS), highest_rate)
    return certainty * rate, (1.0 - certainty) * rate
