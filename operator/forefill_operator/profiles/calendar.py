"""Which quarter of an hour of which kind of day a moment lies in, by the clocks of a policy's time zone."""

from datetime import UTC, datetime, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAY_SECONDS = 86400.0
QUARTER_SECONDS = 900
SLOTS = 96
WORKING_DAYS = 5


class Quarter(NamedTuple):
    """`day` counts days, `slot` the quarters of an hour of one."""

    day: int
    is_weekend: bool
    slot: int


class Calendar:
    """Looks a quarter of an hour up once: offsets from UTC and their changes are whole quarters."""

    def __init__(self) -> None:
        self._newest: dict[str, tuple[int, Quarter]] = {}

    def quarter(self, wall_time: float, time_zone: str) -> Quarter:
        """`wall_time` is seconds since 1970, `time_zone` an IANA name that a policy was accepted with."""
        number = int(wall_time // QUARTER_SECONDS)
        newest = self._newest.get(time_zone)
        if newest is None or newest[0] != number:
            newest = self._newest[time_zone] = number, _quarter(wall_time, time_zone)
        return newest[1]


def second_of_week(wall_time: float, time_zone: str) -> float:
    """Seconds since Monday 00:00 there."""
    moment = datetime.fromtimestamp(wall_time, _zone(time_zone))
    return moment.weekday() * DAY_SECONDS + moment.hour * 3600.0 + moment.minute * 60.0 + moment.second


def _quarter(wall_time: float, time_zone: str) -> Quarter:
    moment = datetime.fromtimestamp(wall_time, _zone(time_zone))
    slot = (moment.hour * 3600 + moment.minute * 60) // QUARTER_SECONDS
    return Quarter(moment.toordinal(), moment.weekday() >= WORKING_DAYS, slot)


def _zone(name: str) -> tzinfo:
    return UTC if name in ("", "UTC") else ZoneInfo(name)
