from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_operator.profiles.calendar import Quarter
from forefill_operator.profiles.inheritance import RECENT, inherited
from forefill_operator.profiles.past import MOST_RATE, Past
from forefill_operator.profiles.pasts import KEPT_SECONDS, MOST, Key, Pasts
from forefill_protocol import codec
from forefill_protocol.messages import Assignment, Forecast, PolicyReport

NOON = Quarter(1, False, 48)


def report(offered: float, seconds: float = 10.0, told: float | None = None, *, early: bool = False) -> PolicyReport:
    forecasts = [Forecast(told, told, told, told)] if told is not None else []
    return PolicyReport("ai/llm", seconds, offered, offered, 0.0, 0.0, 1, forecasts, early=early)


def heard(past: Past, pod: str, *windows: tuple[float, PolicyReport]) -> None:
    for now, entry in windows:
        past.hear(pod, entry, NOON, now)


def windows(past: Past) -> list[tuple[float | None, float | None]]:
    def shown(value: float) -> float | None:
        return None if isnan(value) else value

    return [(shown(rate), shown(told)) for rate, told in zip(*past.history.ordered(), strict=True)]


def test_windows_are_kept_beside_what_was_forecast_of_them() -> None:
    past = Past(10.0)
    heard(past, "a", (10.0, report(20.0, told=2.5)), (20.0, report(30.0, told=3.5)), (30.0, report(40.0)))
    assert windows(past) == [(2.0, None), (3.0, 2.5), (4.0, 3.5)]


def test_parts_of_a_window_are_one_window() -> None:
    past = Past(10.0)
    heard(
        past, "a",
        (10.0, report(20.0, told=2.5)),
        (14.0, report(30.0, 4.0, told=9.0, early=True)),
        (20.0, report(10.0, 6.0, told=3.5)),
        (30.0, report(40.0)),
    )  # fmt: skip
    assert windows(past) == [(2.0, None), (4.0, 2.5), (4.0, 3.5)]


def test_a_stump_waits_for_the_next_window() -> None:
    past = Past(10.0)
    heard(past, "a", (4.0, report(4.0, 4.0)), (14.0, report(24.0)))
    assert windows(past) == [(2.0, None)]


@pytest.mark.parametrize("seconds", [30.0, 55.0, 1e9, 0.0])
def test_a_window_that_was_slept_through_is_a_gap(seconds: float) -> None:
    past = Past(10.0)
    heard(past, "a", (10.0, report(20.0, told=2.0)), (65.0, report(1e12, seconds)), (75.0, report(30.0)))
    assert windows(past) == [(2.0, None), *[(None, None)] * 6, (3.0, None)]
    assert past.days.level() == 2.5


def test_windows_nobody_told_of_are_a_gap() -> None:
    past = Past(10.0)
    heard(past, "a", (10.0, report(20.0, told=2.0)), (40.0, report(30.0)))
    assert windows(past) == [(2.0, None), (None, None), (None, None), (3.0, None)]


def test_of_other_pods_the_days_are_learned_and_windows_only_when_the_first_is_away() -> None:
    past = Past(10.0)
    heard(past, "a", (10.0, report(20.0)))
    heard(past, "b", (11.0, report(40.0)), (61.0, report(40.0)))
    assert (past.witness, windows(past)) == ("a", [(2.0, None)])
    heard(past, "b", (71.0, report(50.0)))
    assert (past.witness, windows(past)) == ("b", [(2.0, None), *[(None, None)] * 5, (5.0, None)])
    assert past.days.level() == 150.0 / 40.0


def test_another_pod_is_shown_the_last_windows_while_the_witness_lives() -> None:
    past = Past(10.0)
    heard(past, "a", *[(10.0 * n, report(10.0 * (1 + n % 3))) for n in range(1, 100)])
    last = [1.0 + n % 3 for n in range(1, 100)][-RECENT:]
    for pod, now, recent in (("b", 1000.0, last), ("a", 1000.0, []), ("b", 1051.0, [])):
        found = inherited(past, pod, now)
        assert found is not None
        assert (found.recent, round(found.level, 6), found.interval_seconds) == (recent, 2.0, 10.0)
        assert 0.5 < found.scale < 1.5


def test_too_little_or_silence_is_not_inherited() -> None:
    past = Past(10.0)
    heard(past, "a", *[(10.0 * n, report(20.0)) for n in range(1, 12)])
    assert inherited(past, "b", 120.0) is None
    silent = Past(10.0)
    heard(silent, "a", *[(10.0 * n, report(0.0)) for n in range(1, 100)])
    assert inherited(silent, "b", 1000.0) is None


OFFERED = st.one_of(st.just(0.0), st.floats(1e-12, 1e12), st.just(1e12))
ENTRIES = st.tuples(st.sampled_from("abc"), OFFERED, st.floats(0.0, 1e9), OFFERED, st.booleans(), st.floats(0, 1e6))


@given(st.lists(ENTRIES, min_size=1, max_size=60))
def test_whatever_is_reported_what_is_inherited_can_be_sent(
    entries: list[tuple[str, float, float, float, bool, float]],
) -> None:
    past, now = Past(10.0), 0.0
    for pod, offered, seconds, told, early, later in entries:
        now += later
        for usual in (0, 1):
            entry = report(offered, 10.0 if usual else seconds, told, early=early)
            past.hear(pod, entry, Quarter(int(now // 86400), False, int(now // 900) % 96), now)
    found = inherited(past, "new", now)
    if found is not None:
        assignment = Assignment("ai/llm", "u", 1, 1, 0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, "Enforce", inherited=found)
        assert codec.decode_down(codec.encode(assignment)) == assignment
        assert 0.0 < found.level <= MOST_RATE


def test_who_was_heard_of_lately_is_not_forgotten_for_somebody_new() -> None:
    pasts = Pasts()
    for number in range(MOST):
        past = pasts.heard(Key("ai/llm", f"ai/{number}"), 10.0, 0.0)
        assert past is not None
        past.hear("pod", report(20.0), NOON, 0.0)
    assert pasts.heard(Key("ai/llm", "ai/new"), 10.0, KEPT_SECONDS - 1.0) is None
    assert pasts.heard(Key("ai/llm", "ai/0"), 10.0, KEPT_SECONDS + 1.0) is not None
    assert pasts.heard(Key("ai/llm", "ai/new"), 10.0, KEPT_SECONDS + 1.0) is not None
    assert (len(pasts), pasts.get(Key("ai/llm", "ai/1"))) == (MOST, None)


def test_windows_of_another_length_begin_a_history_and_keep_the_days() -> None:
    pasts, key = Pasts(), Key("ai/llm", "ai/Deployment/web")
    past = pasts.heard(key, 10.0, 0.0)
    assert past is not None
    heard(past, "a", (10.0, report(20.0)), (20.0, report(20.0)))
    longer = pasts.heard(key, 15.0, 30.0)
    assert longer is not None
    assert (longer.interval, len(longer.history), longer.days.level()) == (15.0, 0, 2.0)
