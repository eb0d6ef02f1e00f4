"""From what is remembered of a workload to what a new pod of it begins with."""

from forefill_operator.profiles.past import MOST_RATE, Past
from forefill_protocol.policysettings import Inherited

# Windows of another pod that a new one is shown; the protocol has room for 64.
RECENT = 64
# Below this many windows of any pod nothing worth inheriting is known.
LEAST_WINDOWS = 12


def inherited(past: Past, pod_uid: str, now: float) -> Inherited | None:
    """None while too little is known, or when the workload's pods have offered nothing."""
    level = min(past.days.level(), MOST_RATE)
    if level <= 0.0 or past.days.seconds < LEAST_WINDOWS * past.interval:
        return None
    weekday, weekend = past.days.factors(level)
    fitted = past.fitted
    return Inherited(
        interval_seconds=past.interval,
        level=level,
        scale=min(past.scale, MOST_RATE),
        weekday=weekday,
        weekend=weekend,
        ar=fitted.ar if fitted else [],
        ma=fitted.ma if fitted else [],
        recent=past.history.recent(RECENT) if past.witness != pod_uid and past.is_live(now) else [],
    )
