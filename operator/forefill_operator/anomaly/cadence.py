"""Reports that come too often, that claim more time than passed, or that repeat what was said before."""

from array import array

from forefill_operator.anomaly.finding import Finding
from forefill_protocol.messages import PolicyReport

# Reports an interval, early ones included, that may go on for long; and how many more may come at once.
USUAL_REPORTS, MOST_REPORTS = 5.0, 8.0
# Windows may claim this many intervals more than passed between the reports: networks delay.
MOST_AHEAD = 1.0
# Latencies are measured to the microsecond; so many windows that repeat them to the last digit are copies.
REMEMBERED, COPIES = 4, 5


class Cadence:
    """`level` of a leaky bucket that each report fills by one and time drains; `ahead` in seconds."""

    __slots__ = ("_ahead", "_copies", "_level", "_prints")

    def __init__(self) -> None:
        self._level = self._ahead = 0.0
        self._copies = 0
        self._prints = array("q")

    def inspect(self, entry: PolicyReport, elapsed: float | None, interval: float) -> Finding | None:
        """`elapsed` seconds since the report before, None when this is the first."""
        self._level += 1.0
        if elapsed is not None:
            self._level = max(self._level - USUAL_REPORTS * elapsed / interval, 0.0)
            self._ahead = max(self._ahead + entry.window_seconds - elapsed, 0.0)
        if self._level > MOST_REPORTS:
            self._level = 0.0
            sentence = f"it reports more than {USUAL_REPORTS:g} times in an interval of {interval:g} s, and goes on"
            return Finding("Cadence", sentence, "Ignore")
        if self._ahead > MOST_AHEAD * interval:
            ahead, self._ahead = self._ahead, 0.0
            return Finding("Cadence", f"its windows claim {ahead:.1f} s more than passed between its reports", "Ignore")
        return self._copied(entry)

    def _copied(self, entry: PolicyReport) -> Finding | None:
        latency = entry.upstream_seconds
        if latency is None:
            return None
        fingerprint = hash((entry.offered, latency.mean, entry.window_seconds))
        if fingerprint in self._prints:
            self._copies += 1
        else:
            self._copies = 0
            self._prints.append(fingerprint)
            del self._prints[:-REMEMBERED]
        if self._copies < COPIES:
            return None
        self._copies = 0
        return Finding(
            "Replay",
            f"its last {COPIES} windows repeat earlier ones to the last digit "
            f"({entry.offered:.6g} tokens, {latency.mean:.6g} s)",
            "Ignore",
        )
