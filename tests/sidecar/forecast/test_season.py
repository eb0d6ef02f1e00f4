import pytest

from forefill_sidecar.forecast.season import Season


@pytest.mark.parametrize(
    ("second", "ahead", "slot", "weekend"),
    [
        (0.0, 0, 0, False),
        (899.0, 0, 0, False),
        (890.0, 1, 1, False),
        (86399.0, 0, 95, False),
        (86390.0, 1, 0, False),
        (5 * 86400.0, 0, 0, True),
        (5 * 86400.0 - 10.0, 1, 0, True),
        (7 * 86400.0 - 10.0, 0, 95, True),
        (7 * 86400.0 - 10.0, 1, 0, False),
    ],
)
def test_tells_slot_and_weekend_of_a_window_ahead(second: float, ahead: int, slot: int, weekend: bool) -> None:
    season = Season(10.0, second)
    assert (season.slot(96, ahead), season.weekend(ahead)) == (slot, weekend)


def test_a_week_later_it_is_the_same() -> None:
    season = Season(60.0, 3600.0)
    season.advance(7 * 1440)
    assert season == Season(60.0, 3600.0)


@pytest.mark.parametrize("interval", [0.0, -1.0, 90000.0, float("nan")])
def test_an_interval_that_cannot_be_is_refused(interval: float) -> None:
    with pytest.raises(ValueError, match="interval_seconds is"):
        Season(interval)
