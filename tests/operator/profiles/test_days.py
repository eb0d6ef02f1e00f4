from hypothesis import given
from hypothesis import strategies as st

from forefill_operator.profiles.calendar import Calendar, Quarter, second_of_week
from forefill_operator.profiles.days import MOST_FACTOR, Days

# Thursday, 1 January 1970.
MONDAY = 4 * 86400.0


def test_a_slot_is_the_mean_of_one_pod_however_many_there_are() -> None:
    days = Days()
    days.add(Quarter(1, False, 4), 20.0, 10.0)
    days.add(Quarter(1, False, 4), 60.0, 10.0)
    days.add(Quarter(1, False, 5), 80.0, 10.0)
    weekday, weekend = days.factors(days.level())
    assert days.level() == 6.0
    assert weekday == [1.0] * 4 + [4.0 / 6.0, 8.0 / 6.0] + [1.0] * 90
    assert weekend == weekday


def test_an_older_day_counts_half_as_much_as_the_next() -> None:
    days = Days()
    for day, tokens in ((1, 0.0), (2, 60.0)):
        days.add(Quarter(day, False, 0), tokens, 10.0)
    assert days.level() == 60.0 / 15.0


def test_weekends_are_days_of_their_own() -> None:
    days = Days()
    for slot in range(96):
        days.add(Quarter(1, False, slot), 40.0, 10.0)
        days.add(Quarter(6, True, slot), 10.0, 10.0)
    assert days.factors(days.level()) == ([1.0] * 96, [0.25] * 96)


def test_nothing_is_known_before_the_first_report_or_of_silence() -> None:
    days = Days()
    assert (days.level(), days.factors(0.0)) == (0.0, ([], []))
    days.add(Quarter(1, False, 0), 0.0, 10.0)
    assert (days.level(), days.factors(days.level())) == (0.0, ([], []))


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 95), st.floats(0, 1e10)), min_size=1, max_size=60))
def test_factors_are_bounded_and_finite(added: list[tuple[int, int, float]]) -> None:
    days = Days()
    for day, slot, tokens in sorted(added):
        days.add(Quarter(day, day % 7 >= 5, slot), tokens, 10.0)
    level = days.level()
    for factors in days.factors(level):
        assert len(factors) == (96 if level > 0.0 else 0)
        assert all(0.0 <= factor <= MOST_FACTOR for factor in factors)


def test_a_moment_lies_in_the_day_of_the_policys_clocks() -> None:
    calendar = Calendar()
    monday = calendar.quarter(MONDAY, "UTC")
    assert (monday.is_weekend, monday.slot) == (False, 0)
    assert calendar.quarter(MONDAY - 1.0, "UTC") == Quarter(monday.day - 1, True, 95)
    assert calendar.quarter(MONDAY, "Asia/Kolkata") == Quarter(monday.day, False, 22)
    assert calendar.quarter(MONDAY, "America/New_York") == Quarter(monday.day - 1, True, 76)
    assert second_of_week(MONDAY - 3600.0, "America/New_York") == 6 * 86400.0 + 18 * 3600.0


def test_the_hours_that_daylight_saving_moves_are_followed() -> None:
    calendar = Calendar()
    # 26 October 2025, 01:00 UTC: clocks in Paris go back from 3 to 2.
    moment = 1761440400.0
    slots = [calendar.quarter(moment + minutes * 60.0, "Europe/Paris").slot for minutes in (-15, 0, 45, 60)]
    assert slots == [11, 8, 11, 12]
