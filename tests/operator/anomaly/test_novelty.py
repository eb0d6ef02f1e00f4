import random
from collections.abc import Callable

import pytest

from forefill_operator.anomaly.novelty import Alarm, Novelty
from forefill_operator.shadow import Shadow

MINUTE, DAY = 60.0, 86400.0


def alarms(demand: Callable[[float], float], days: float, factor: float = 1.0) -> list[tuple[float, Alarm]]:
    """Day and alarm, for windows of a minute."""
    novelty, shadow, found = Novelty(), Shadow(), []
    for window in range(int(days * DAY / MINUTE)):
        now = MINUTE * window
        rate = max(demand(now), 0.0)
        error = rate - shadow.mean if shadow.seen else 0.0
        if alarm := novelty.observe(rate, error, MINUTE, factor, now):
            found.append((now / DAY, alarm))
        shadow.observe(rate)
    return found


def noise(seed: int, level: float = 100.0, spread: float = 10.0) -> Callable[[float], float]:
    generator = random.Random(seed)
    return lambda now: generator.gauss(level, spread)


def test_steady_noise_hardly_ever_alarms() -> None:
    assert sum(len(alarms(noise(seed), 10.0)) for seed in range(6)) <= 6


def test_silence_and_constants_never_alarm() -> None:
    assert alarms(lambda now: 0.0, 4.0) == []
    assert alarms(lambda now: 50.0, 4.0) == []


def test_a_jump_alarms_once_and_at_once() -> None:
    quiet = noise(1)
    found = alarms(lambda now: 1000.0 if 3.0 <= now / DAY < 3.01 else quiet(now), 3.5)
    assert [(round(day, 2), alarm.source) for day, alarm in found] == [(3.0, "Jump")]
    assert "times the most of the days before" in found[0][1].sentence


def test_a_shift_alarms_although_no_single_window_is_strange() -> None:
    quiet = noise(2)
    found = alarms(lambda now: quiet(now) + (20.0 if now / DAY >= 3.0 else 0.0), 4.0)
    assert {alarm.source for _, alarm in found} == {"Shift"}
    assert 3.0 < found[0][0] < 3.2


def test_what_comes_every_day_is_soon_no_news() -> None:
    quiet = noise(3)
    found = alarms(lambda now: quiet(now) + (500.0 if now % DAY < 10 * MINUTE else 0.0), 8.0)
    assert [day for day, _ in found if day > 3.5] == []


def test_a_busy_hour_at_another_hour_is_off_the_profile() -> None:
    quiet = noise(4, 10.0, 1.0)

    def demand(now: float) -> float:
        hour = now % DAY / 3600.0
        busy = 9.0 <= hour < 10.0 if now < 7.0 * DAY else 3.0 <= hour < 4.0
        return quiet(now) + (100.0 if busy else 0.0)

    assert any(7.1 < day < 7.2 for day, _ in alarms(demand, 7.5))


def test_the_first_day_only_teaches() -> None:
    assert alarms(lambda now: 1e6 if now / DAY > 0.5 else 1.0, 0.99) == []


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.15])
def test_a_higher_factor_never_finds_more(factor: float) -> None:
    assert len(alarms(noise(5), 6.0, factor)) >= len(alarms(noise(5), 6.0, factor + 0.3))


def test_days_that_nobody_measured_fade_the_limits() -> None:
    alarmed = []
    for days in (1.0, 4.0):
        novelty = Novelty()
        for window in range(2000):
            novelty.observe(100.0, 100.0 if window == 1500 else 1.0, MINUTE, 1.0, MINUTE * window)
        alarm = novelty.observe(100.0, 120.0, MINUTE, 1.0, 2000 * MINUTE + days * DAY)
        alarmed.append(alarm is not None)
    assert alarmed == [False, True]
