"""Where in the week a moment lies in a policy's time zone."""

import logging
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from forefill_sidecar.forecast.season import DAY_SECONDS

_log = logging.getLogger("forefill.time")


@lru_cache(maxsize=16)
def zone(name: str) -> tzinfo:
    """The zone of an IANA name; UTC for none, and, with a warning, for one that this machine does not know."""
    if name in ("", "UTC"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        _log.warning("the time zone %r is not known here (is tzdata installed?); days are counted in UTC", name)
        return UTC


def second_of_week(wall_time: float, where: tzinfo) -> float:
    """Seconds since Monday 00:00 by the clocks there; `wall_time` is Unix seconds."""
    moment = datetime.fromtimestamp(wall_time, where)
    seconds = moment.hour * 3600.0 + moment.minute * 60.0 + moment.second + moment.microsecond / 1e6
    return moment.weekday() * DAY_SECONDS + seconds
