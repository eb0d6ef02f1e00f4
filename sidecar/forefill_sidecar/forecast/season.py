"""Where in the week the present window lies. Models that know days share one with whoever counts the windows."""

from dataclasses import dataclass

DAY_SECONDS = 86400.0
WEEK_SECONDS = 7 * DAY_SECONDS
WEEKDAYS = 5


@dataclass(slots=True)
class Season:
    """`second_of_week` counts from Monday 00:00 in the policy's time zone to the start of the present window."""

    interval_seconds: float = 10.0
    second_of_week: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 < self.interval_seconds <= DAY_SECONDS:
            raise ValueError(f"interval_seconds is {self.interval_seconds}; it must be above 0 and at most a day")
        self.align(self.second_of_week)

    def advance(self, windows: int) -> None:
        self.align(self.second_of_week + windows * self.interval_seconds)

    def align(self, second_of_week: float) -> None:
        """Follow the clock: after a restart, a corrected clock, or the hour that daylight saving moves."""
        self.second_of_week = second_of_week % WEEK_SECONDS

    def slot(self, slots_a_day: int, ahead: int = 0) -> int:
        """In which of `slots_a_day` equal parts of its day the window `ahead` of the present one starts."""
        second = (self.second_of_week + ahead * self.interval_seconds) % DAY_SECONDS
        return min(slots_a_day - 1, int(second * slots_a_day / DAY_SECONDS))

    def weekend(self, ahead: int = 0) -> bool:
        second = (self.second_of_week + ahead * self.interval_seconds) % WEEK_SECONDS
        return second >= WEEKDAYS * DAY_SECONDS
