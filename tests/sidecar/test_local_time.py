from datetime import UTC, datetime

import pytest

from forefill_sidecar.local_time import second_of_week, zone

HOUR = 3600.0
DAY = 24 * HOUR


def wall(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("moment", "where", "seconds"),
    [
        ("2026-11-23T00:00:00", "", 0.0),
        ("2026-11-29T23:59:59.500", "UTC", 7 * DAY - 0.5),
        ("2026-11-23T00:00:00", "Asia/Tokyo", 9 * HOUR),
        ("2026-11-23T00:00:00", "America/New_York", 6 * DAY + 19 * HOUR),
        # Through the night in which clocks in Vienna go back from 3 to 2.
        ("2026-10-25T00:59:59", "Europe/Vienna", 6 * DAY + 3 * HOUR - 1),
        ("2026-10-25T01:00:00", "Europe/Vienna", 6 * DAY + 2 * HOUR),
        # And forward from 2 to 3.
        ("2026-03-29T01:00:00", "Europe/Vienna", 6 * DAY + 3 * HOUR),
    ],
)
def test_weeks_begin_on_monday_by_the_clocks_of_the_place(moment: str, where: str, seconds: float) -> None:
    assert second_of_week(wall(moment), zone(where)) == seconds


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "Europe"])
def test_a_place_that_nobody_knows_is_utc_and_said_so(name: str, caplog: pytest.LogCaptureFixture) -> None:
    assert zone(name) is UTC
    assert f"the time zone {name!r} is not known here" in caplog.text
