"""What a detector found, how grave it is, and how long it stands."""

from typing import Literal

from msgspec import Struct

Kind = Literal["Impossible", "Contradicted", "Cadence", "Replay", "Untrue", "Jump", "Shift", "OffProfile", "OffCohort"]
Verdict = Literal["None", "Ignore", "Clamp", "Quarantine"]

VERDICTS: tuple[Verdict, ...] = ("None", "Ignore", "Clamp", "Quarantine")
# A finding stands for this many intervals after it was last seen.
STANDING_INTERVALS = 30.0
# Only what can't be true quarantines a client, and only when it comes again.
QUARANTINED: frozenset[Kind] = frozenset({"Impossible", "Contradicted"})
REPEATED = 3


class Anomaly(Struct, frozen=True, gc=False):
    """`evidence` is a sentence with the figures; `since` is when it was first seen, monotonic seconds."""

    kind: Kind
    evidence: str
    since: float


class Finding(Struct, frozen=True, gc=False):
    """What one report shows, and the verdict that it deserves by itself."""

    kind: Kind
    evidence: str
    verdict: Verdict


class _Held(Struct, frozen=True, gc=False):
    anomaly: Anomaly
    verdict: Verdict
    times: int
    until: float


class Standing:
    """The findings on one client that have not lapsed, one a kind."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[Kind, _Held] | None = None

    def add(self, finding: Finding, now: float, until: float) -> None:
        """A kind that stands already keeps its beginning and the graver verdict; some grow graver by repetition."""
        held = self._held = self._held or {}
        since, verdict, times = now, finding.verdict, 1
        if before := held.get(finding.kind):
            since, times = before.anomaly.since, before.times + 1
            verdict = graver(verdict, before.verdict)
        if finding.kind in QUARANTINED and times >= REPEATED:
            verdict = "Quarantine"
        held[finding.kind] = _Held(Anomaly(finding.kind, finding.evidence, since), verdict, times, until)

    def lapse(self, now: float) -> None:
        """Findings not seen again in time are over: a client recovers by itself."""
        if self._held is not None:
            self._held = {kind: held for kind, held in self._held.items() if held.until > now} or None

    def clear(self) -> None:
        self._held = None

    @property
    def anomalies(self) -> tuple[Anomaly, ...]:
        """Those begun last come first."""
        held = self._held.values() if self._held else ()
        return tuple(sorted((each.anomaly for each in held), key=lambda each: -each.since))

    @property
    def verdict(self) -> Verdict:
        held = self._held.values() if self._held else ()
        return max((each.verdict for each in held), key=VERDICTS.index, default="None")

    def __bool__(self) -> bool:
        return self._held is not None


def graver(one: Verdict, other: Verdict) -> Verdict:
    return max(one, other, key=VERDICTS.index)


def bounded(verdict: Verdict, action: Verdict) -> Verdict:
    """The policy's `anomaly.action` is the hardest answer that it allows."""
    return min(verdict, action, key=VERDICTS.index)
