"""When a load answers what is admitted: a reading tells of a rate that is long past. Pure.

A metric is scraped, averaged and filtered before it is seen. Whoever takes it for the load of the present rate cuts
again and again for the one overload, then raises again and again before the rise is seen. So the rate that a reading
was made at is looked for: the lag is the number of intervals at which load in proportion to rate explains the
readings best.
"""

from math import inf

from msgspec import Struct

# The lag is at most so many intervals, found from so many readings.
LONGEST, READINGS = 6, 16
# Another lag has to explain the readings so much better, when the known one is off by more than noise (mean square).
BETTER, NOISE, POOR = 0.5, 2e-4, 2e-3
# A load from here on only says that there is more to do than can be done.
SATURATED = 0.95


class Response(Struct, frozen=True):
    """`rates` (tokens/s) and `loads` of the last intervals, oldest first; `lag` in intervals, 0 until it is known."""

    rates: tuple[float, ...] = ()
    loads: tuple[float, ...] = ()
    lag: int = 0

    def observed(self, rate: float, load: float) -> "Response":
        """What was admitted in an interval, and the newest reading at its end."""
        kept = READINGS + LONGEST
        seen = Response((*self.rates, rate)[-kept:], (*self.loads, load)[-kept:], self.lag)
        return Response(seen.rates, seen.loads, seen._best_lag())

    def forgotten(self) -> "Response":
        """Nothing is measured for now; the lag is a property of the way that the metric takes, and stays."""
        return Response(lag=self.lag)

    def load_at(self, rate: float) -> float:
        """The load that the newest reading makes of this rate, which it does not show yet.

        A saturated reading does not say how much is too much, so it stands for every rate.
        """
        newest, measured_at = self.loads[-1], self._rate_behind(len(self.loads) - 1)
        return newest * rate / measured_at if self.lag and measured_at > 0.0 and newest < SATURATED else newest

    def outlasts(self, bound: float) -> bool:
        """The load is over `bound` for an interval longer than a cut takes to show: what was expected did not come."""
        readings = self.lag + 2
        return len(self.loads) >= readings and min(self.loads[-readings:]) > bound

    def proven(self, bound: float) -> float:
        """The largest rate whose load was seen to be under `bound`, as far as the newest reading agrees, tokens/s."""
        newest = len(self.loads) - 1
        if not self.lag or newest < self.lag:
            return 0.0
        places = range(max(self.lag, newest - LONGEST), newest + 1)
        good = max((self._rate_behind(place) for place in places if self.loads[place] < bound), default=0.0)
        return min(good, self._rate_behind(newest) * bound / max(self.loads[-1], 1e-9))

    def _rate_behind(self, place: int) -> float:
        return self.rates[max(place - self.lag, 0)]

    def _best_lag(self) -> int:
        known = self._error(self.lag)
        if known <= NOISE:
            return self.lag
        errors = [self._error(lag) for lag in range(LONGEST + 1)]
        best = min(range(LONGEST + 1), key=errors.__getitem__)
        if errors[best] > POOR:
            return 0
        return best if errors[best] < BETTER * known else self.lag

    def _error(self, lag: int) -> float:
        """Mean square of what load = min(rate * k, 1) leaves, with the k that fits the readings below saturation."""
        loads = self.loads[LONGEST:]
        pairs = list(zip(self.rates[LONGEST - lag : len(self.rates) - lag], loads, strict=True)) if loads else []
        squares = sum(rate * rate for rate, load in pairs if load < SATURATED)
        slope = sum(rate * load for rate, load in pairs if load < SATURATED) / squares if squares > 0.0 else inf
        left = 0.0
        for rate, load in pairs:
            expected = min(rate * slope, 1.0) if rate > 0.0 else 0.0
            left += (load - expected) ** 2
        return left / len(pairs) if pairs else 0.0
