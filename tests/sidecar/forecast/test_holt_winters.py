import math

import pytest

from forefill_sidecar.forecast.holt_winters import HoltWinters
from forefill_sidecar.forecast.season import Season


def day(slot: int) -> float:
    return 100.0 + 80.0 * math.sin(2.0 * math.pi * slot / 96)


def test_learns_the_shape_of_a_day() -> None:
    season = Season(interval_seconds=900.0)
    model = HoltWinters(season, alpha=0.02, beta=0.0)
    for step in range(30 * 96):
        model.observe(day(step % 96))
        season.advance(1)
    assert model.forecast(96) == pytest.approx([day(slot) for slot in range(96)], abs=8.0)


@pytest.mark.parametrize(("interval", "slots"), [(10.0, 1440), (60.0, 1440), (300.0, 288), (86400.0, 1)])
def test_keeps_at_most_one_value_a_minute_of_the_day(interval: float, slots: int) -> None:
    assert len(HoltWinters(Season(interval)).seasonal) == slots
