import pytest

from forefill_sidecar.forecast.day_profile import DayProfile
from forefill_sidecar.forecast.season import Season

QUARTER = 900.0
DAY, WEEK = 96, 7 * 96


def demand(step: int) -> float:
    """A nightly job at two, on weekdays only, over a base that halves at weekends."""
    weekend = step % WEEK >= 5 * DAY
    return (50.0 if weekend else 100.0) + (400.0 if step % DAY == 8 and not weekend else 0.0)


def fed(steps: int) -> DayProfile:
    season = Season(QUARTER)
    model = DayProfile(season)
    for step in range(steps):
        model.observe(demand(step))
        season.advance(1)
    return model


def test_knows_the_hour_and_the_kind_of_day() -> None:
    model = fed(2 * WEEK)
    assert model.forecast(WEEK) == pytest.approx([demand(step) for step in range(WEEK)], abs=1.0)


def test_an_hour_never_seen_at_a_weekend_is_taken_from_weekdays() -> None:
    model = fed(5 * DAY)
    assert model.expected(8) == pytest.approx(500.0)


def test_an_hour_never_seen_at_all_is_taken_from_the_level() -> None:
    assert fed(4).forecast(3) == pytest.approx([100.0] * 3)


def test_follows_a_day_that_runs_higher_than_usual() -> None:
    model = fed(2 * WEEK)
    for step in range(7):
        model.observe(demand(step) + 60.0)
        model.season.advance(1)
    assert model.forecast(1)[0] == pytest.approx(160.0, abs=10.0)
