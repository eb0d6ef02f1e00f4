"""What one policy's requests in one pod usually look like: how often, how spread, how dear, where to, and when.

Pure and bounded: streaming quantiles take five numbers each, routes beyond the commonest share one place. Requests
change the spreads, windows of the report change the days. `encode` and `decode` give plain values for a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from forefill_protocol.messages import Spread
from forefill_sidecar.forecast import snapshot
from forefill_sidecar.forecast.day_profile import DayProfile
from forefill_sidecar.forecast.season import Season
from forefill_sidecar.forecast.snapshot import Plain
from forefill_sidecar.streaming_quantile import StreamingQuantile
from forefill_sidecar.top_shares import TopShares

VERSION = 1
ROUTES = 32


@dataclass(slots=True)
class Spreads:
    """Mean, median and 95th percentile of a quantity, over everything it was told."""

    count: int = 0
    mean: float = 0.0
    p50: StreamingQuantile = field(default_factory=lambda: StreamingQuantile(0.5))
    p95: StreamingQuantile = field(default_factory=lambda: StreamingQuantile(0.95))

    def observe(self, value: float) -> None:
        self.count += 1
        self.mean += (value - self.mean) / self.count
        self.p50.observe(value)
        self.p95.observe(value)

    def spread(self) -> Spread | None:
        """None before the first value."""
        if not self.count:
            return None
        return Spread(mean=self.mean, p50=self.p50.value(), p95=self.p95.value())


@dataclass(slots=True)
class _Learned:
    """What survives a restart, apart from the routes, whose names a shape can't foresee."""

    interarrival_seconds: Spreads = field(default_factory=Spreads)
    request_bytes: Spreads = field(default_factory=Spreads)
    cost: Spreads = field(default_factory=Spreads)
    days: DayProfile = field(default_factory=DayProfile)


class Profile:
    """The habits of one policy's clients in one pod. `season` is shared with whoever counts the windows."""

    def __init__(self, season: Season) -> None:
        self._learned = _Learned(days=DayProfile(season))
        self._routes = TopShares(ROUTES)
        self._last_arrival: float | None = None

    def request(self, now: float, route: str, size_bytes: float, cost: float) -> None:
        """Take one request that first arrived at `now` (monotonic seconds)."""
        if self._last_arrival is not None and now >= self._last_arrival:
            self._learned.interarrival_seconds.observe(now - self._last_arrival)
        self._last_arrival = now
        self._learned.request_bytes.observe(size_bytes)
        self._learned.cost.observe(cost)
        self._routes.add(route, cost)

    def window(self, rate: float) -> None:
        """Take the offered demand, tokens/s, of the window that closed, before the season advances."""
        self._learned.days.observe(rate)

    def gap(self) -> None:
        """Windows passed that nobody measured: the next request says nothing of the time between requests."""
        self._last_arrival = None

    def interarrival_seconds(self) -> Spread | None:
        return self._learned.interarrival_seconds.spread()

    def request_bytes(self) -> Spread | None:
        return self._learned.request_bytes.spread()

    def cost(self) -> Spread | None:
        return self._learned.cost.spread()

    def usual_rate(self, ahead: int) -> float:
        """Tokens/s that this hour of this kind of day usually brings, `ahead` windows from the present one."""
        return self._learned.days.expected(ahead)

    def route_shares(self) -> Mapping[str, float]:
        """Share of the cost by route, largest first; the rare ones together under an empty name."""
        return self._routes.shares()

    def encode(self) -> Plain:
        """Everything learned, as plain values."""
        learned = snapshot.take(self._learned)
        interval = self._learned.days.season.interval_seconds
        return {"version": VERSION, "interval_seconds": interval, "learned": learned, "routes": self._routes.encode()}

    @classmethod
    def decode(cls, plain: Plain, season: Season) -> "Profile":
        """A profile that goes on from what `encode` gave. ValueError when version, interval or shape differ."""
        if not isinstance(plain, dict) or plain.get("version") != VERSION:
            raise ValueError(f"the profile is not of version {VERSION}")
        if plain.get("interval_seconds") != season.interval_seconds:
            raise ValueError(f"the profile is of windows of {plain.get('interval_seconds')!r} s")
        profile, present = cls(season), season.second_of_week
        profile._routes = TopShares.decode(plain.get("routes"), ROUTES)
        snapshot.put(profile._learned, plain.get("learned"))
        season.align(present)
        return profile
