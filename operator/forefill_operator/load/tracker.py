"""One policy's load over time: filtered while it comes, held, then fading out while it does not. Pure: `now` is given.

Times count from when a part was last measured, in units of the policy's staleAfterSeconds:

    up to 1     Known     the median of its last three values
    up to 2     Held      the same value stands in
    up to 4     Decaying  its influence falls evenly from 1 to 0
    after that  Unknown   as if there were no load

A part without influence takes the others' mean, so that a policy that measures only some parts has their mean, and one
whose exporter was renamed goes over to the others without a jump. The load as a whole fades with its freshest part, and
to `neutral`, where it neither lowers the fill rate nor lets anything be lent: to 0, ignorance would pass for idleness.
"""

from collections import deque
from collections.abc import Mapping
from math import inf

from forefill_operator.load.readings import PARTS, Fault, Part, Reading
from forefill_operator.shaping import Load, LoadState

HELD_UNTIL, UNKNOWN_FROM = 2.0, 4.0
_REMEMBERED = 3


class Signal:
    """One part: the median of three follows a step one measurement later and never a single spike."""

    __slots__ = ("_values", "measured_at")

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=_REMEMBERED)
        self.measured_at = -inf

    def measured(self, value: float, now: float, stale_after: float) -> None:
        if now - self.measured_at > stale_after:
            self._values.clear()
        self._values.append(value)
        self.measured_at = now

    @property
    def value(self) -> float:
        """Of two values the larger: what is not sure yet errs towards protecting the resource."""
        return sorted(self._values)[len(self._values) // 2] if self._values else 0.0

    def state(self, now: float, stale_after: float) -> LoadState:
        age = (now - self.measured_at) / stale_after
        if age <= 1.0:
            return "Known"
        return "Held" if age <= HELD_UNTIL else "Decaying" if age < UNKNOWN_FROM else "Unknown"

    def influence(self, now: float, stale_after: float) -> float:
        """1 while the value counts in full, 0 from when it is unknown."""
        age = (now - self.measured_at) / stale_after
        return min(max((UNKNOWN_FROM - age) / (UNKNOWN_FROM - HELD_UNTIL), 0.0), 1.0)


class Tracker:
    """`faults` of the newest measurement, by what they are about."""

    def __init__(self, stale_after: float, neutral: float) -> None:
        self.stale_after, self.neutral = stale_after, neutral
        self.faults: dict[str, Fault] = {}
        self._signals: dict[Part, Signal] = {}

    @property
    def asked(self) -> bool:
        """Whether there is anything to measure."""
        return bool(self._signals)

    def observe(self, readings: Mapping[Part, Reading], now: float) -> None:
        """Take the newest measurement in. Parts that it does not name are no longer asked for."""
        self._signals = {part: self._signals.get(part) or Signal() for part in readings}
        self.faults = {}
        for part, reading in readings.items():
            if reading.value is not None:
                self._signals[part].measured(reading.value, now, self.stale_after)
            if reading.fault is not None:
                self.faults[part] = reading.fault

    def load(self, now: float) -> Load:
        """The load as it counts now. Known only while every part is; `age_seconds` of the oldest part that counts."""
        influences = {part: signal.influence(now, self.stale_after) for part, signal in self._signals.items()}
        counting = {part: influence for part, influence in influences.items() if influence > 0.0}
        if not counting:
            return Load(0.0, 0.0, 0.0, "Unknown", 0.0)
        freshest = max(counting.values())
        mean = sum(each * self._signals[part].value for part, each in counting.items()) / sum(counting.values())
        mixed = (self._mixed(part, counting.get(part, 0.0) / freshest, mean) for part in PARTS)
        cpu, memory, network = (self.neutral + freshest * (value - self.neutral) for value in mixed)
        age = max(now - self._signals[part].measured_at for part in counting)
        return Load(cpu, memory, network, self._state(now), age)

    def measured(self) -> Mapping[Part, float]:
        """The filtered value of each part that was ever measured."""
        return {part: signal.value for part, signal in self._signals.items() if signal.measured_at > -inf}

    def _mixed(self, part: Part, share: float, mean: float) -> float:
        """The part's own value as far as it has influence, for the rest the mean."""
        return mean + share * (self._signals[part].value - mean) if share > 0.0 else mean

    def _state(self, now: float) -> LoadState:
        states = {signal.state(now, self.stale_after) for signal in self._signals.values()}
        if states == {"Known"}:
            return "Known"
        if states & {"Known", "Held"}:
            return "Held"
        return "Decaying"
