"""What one policy's requests in one pod usually look like: how often, how spread, how dear, where to, and when.

Pure and bounded: streaming quantiles take five numbers each, routes and users beyond the commonest share one place.
Requests are gathered in `arrivals` and taken in when their window ends. `encode` and `decode` give plain values for a
file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from forefill_protocol.messages import Spread
from forefill_protocol.policysettings import CostRoute, Inherited
from forefill_sidecar.arrivals import MOST_SEEN, USERS, Arrivals
from forefill_sidecar.forecast import snapshot
from forefill_sidecar.forecast.day_profile import DayProfile
from forefill_sidecar.forecast.season import Season
from forefill_sidecar.forecast.snapshot import Plain
from forefill_sidecar.streaming_quantile import StreamingQuantile
from forefill_sidecar.top_shares import TopShares

VERSION = 2
ROUTES = 32
FREQUENCY_PACE = 0.001
OTHER_ROUTE = "other"


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

    requests_per_second: float = 0.0
    windows: int = 0
    interarrival_seconds: Spreads = field(default_factory=Spreads)
    request_bytes: Spreads = field(default_factory=Spreads)
    cost: Spreads = field(default_factory=Spreads)
    days: DayProfile = field(default_factory=DayProfile)


class Profile:
    """The habits of one policy's clients in one pod. `season` is shared with whoever counts the windows."""

    def __init__(self, season: Season) -> None:
        self.arrivals = Arrivals()
        self._learned = _Learned(days=DayProfile(season))
        self._routes = TopShares(ROUTES)
        self._last_arrival: float | None = None

    def take(self, routes: Sequence[CostRoute]) -> None:
        """Take in what arrived since it was last called; `routes` are the policy's, which arrivals count by place."""
        arrivals, learned = self.arrivals, self._learned
        for now in arrivals.times:
            if self._last_arrival is not None and now >= self._last_arrival:
                learned.interarrival_seconds.observe(now - self._last_arrival)
            self._last_arrival = now
        if len(arrivals.times) == MOST_SEEN:
            # Those after it were not kept.
            self._last_arrival = None
        for size in arrivals.request_bytes:
            learned.request_bytes.observe(float(size))
        for cost in arrivals.costs:
            learned.cost.observe(cost)
        for place, total in arrivals.routes.items():
            self._routes.add(_name(routes, place), total)
        arrivals.clear()

    def window(self, rate: float, requests: int, seconds: float) -> None:
        """Take the offered demand, tokens/s, and the requests of the window that closed, before the season advances."""
        learned = self._learned
        learned.windows += 1
        pace = max(FREQUENCY_PACE, 1.0 / learned.windows)
        learned.requests_per_second += pace * (requests / seconds - learned.requests_per_second)
        learned.days.observe(rate)

    def inherit(self, inherited: Inherited) -> None:
        """Begin with the days of the pod's workload."""
        if not self._learned.windows:
            self._learned.days.inherit(inherited.level, inherited.weekday, inherited.weekend)

    def gap(self) -> None:
        """Windows passed that nobody measured: the next request says nothing of the time between requests."""
        self.arrivals.clear()
        self._last_arrival = None

    def requests_per_second(self) -> float:
        return self._learned.requests_per_second

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

    def user_shares(self) -> Mapping[str, float]:
        """Share of the cost by hashed user, largest first; empty where the policy names no header of users."""
        return self.arrivals.users.shares()

    def encode(self) -> Plain:
        """Everything learned, as plain values."""
        learned = snapshot.take(self._learned)
        interval = self._learned.days.season.interval_seconds
        return {
            "version": VERSION,
            "interval_seconds": interval,
            "learned": learned,
            "routes": self._routes.encode(),
            "users": self.arrivals.users.encode(),
            "salt": self.arrivals.salt.hex(),
        }

    @classmethod
    def decode(cls, plain: Plain, season: Season) -> "Profile":
        """A profile that goes on from what `encode` gave. ValueError when version, interval or shape differ."""
        if not isinstance(plain, dict) or plain.get("version") != VERSION:
            raise ValueError(f"the profile is not of version {VERSION}")
        if plain.get("interval_seconds") != season.interval_seconds:
            raise ValueError(f"the profile is of windows of {plain.get('interval_seconds')!r} s")
        profile, present = cls(season), season.second_of_week
        profile._routes = TopShares.decode(plain.get("routes"), ROUTES)
        profile.arrivals.users = TopShares.decode(plain.get("users"), USERS)
        profile.arrivals.salt = _salt(plain.get("salt"))
        snapshot.put(profile._learned, plain.get("learned"))
        season.align(present)
        return profile


def _name(routes: Sequence[CostRoute], place: int) -> str:
    if not 0 <= place < len(routes):
        return OTHER_ROUTE
    return f"{routes[place].method} {routes[place].path}".strip()


def _salt(plain: Plain) -> bytes:
    try:
        return bytes.fromhex(plain)
    except (TypeError, ValueError):
        raise ValueError("the salt is no hexadecimal text") from None
