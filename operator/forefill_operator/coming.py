"""Work of a client beyond its usual demand: what surprised its forecast, and when what it declared begins."""

from collections.abc import Iterable

from msgspec.structs import replace

from forefill_operator.demand import SHORTEST_WINDOW_SECONDS, Demand, believed, lately, surprise
from forefill_operator.member import Member
from forefill_operator.spec import Spec
from forefill_operator.work import Work
from forefill_protocol.messages import PolicyReport

# Declared work is planned for this long before it begins, so that its rate is in place.
LEAD_SECONDS = 2.0
# Demand above the forecast is taken to go on for this long, unless it is told of again so much later.
SURPRISED_SECONDS, AGAIN_SECONDS = 3.0, 1.0


class Moments:
    """When each client's declared work has to be planned for: in rising order, as its newest report has them."""

    __slots__ = ("_moments",)

    def __init__(self) -> None:
        self._moments: dict[str, tuple[float, ...]] = {}

    def expect(self, pod_uid: str, work: Iterable[Work], now: float) -> None:
        """This is all that the client has declared."""
        self._set(pod_uid, tuple([each.begins - LEAD_SECONDS for each in work if each.begins > now]))

    def due(self, now: float) -> list[str]:
        """Clients for which a moment has come; each is told once."""
        clients = [uid for uid, moments in self._moments.items() if moments[0] <= now]
        for uid in clients:
            self._set(uid, tuple(moment for moment in self._moments[uid] if moment > now))
        return clients

    def forget(self, pod_uid: str) -> None:
        self._moments.pop(pod_uid, None)

    def _set(self, pod_uid: str, moments: tuple[float, ...]) -> None:
        if moments:
            self._moments[pod_uid] = moments
        else:
            self.forget(pod_uid)


def surprised(member: Member, demand: Demand, entry: PolicyReport, spec: Spec, now: float) -> Demand:
    """What an early report found above the forecast goes on for a while; when it goes on, until the next window.

    What may be chance makes the client uncertain, so that it has more of a surplus, and takes nothing from others.
    """
    mean, spread = believed(entry, member.window, member.appraisal)
    interval = spec.report.interval_seconds
    rate, perhaps = surprise(entry, mean, spread, interval, spec.fill_rate.max)
    if rate > 0.0:
        if member.surprised_until <= now:
            member.surprised_from = now
        lasts = interval if now >= member.surprised_from + AGAIN_SECONDS else SURPRISED_SECONDS
        member.surprised_until = now + lasts
        member.level = mean + rate
        member.work += (Work(now, now + lasts, rate),)
    return replace(demand, spread=min(demand.spread + perhaps, spec.fill_rate.max))


def goes_on(member: Member, entry: PolicyReport, spec: Spec, now: float) -> None:
    """Forecasts follow a new level in some windows: as far as the end of this one bears it out, it counts on."""
    interval = spec.report.interval_seconds
    mean, _ = believed(entry, member.window, member.appraisal)
    seconds, offered = lately(entry)
    member.level = min(member.level, offered / max(seconds, SHORTEST_WINDOW_SECONDS))
    if member.level > mean:
        member.surprised_until = now + interval
        member.work += (Work(now, now + interval, member.level - mean),)
