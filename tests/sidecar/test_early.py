import pytest

from forefill_sidecar.early import GAP_SECONDS, MOST_A_WINDOW, Reason, Running, Watch
from forefill_sidecar.forecast.predictor import Predictor

INTERVAL = 10.0


def steady(rate: float = 10.0) -> Predictor:
    """Of a client that offers `rate` give or take a fifth."""
    predictor = Predictor("Ensemble", 3)
    for step in range(200):
        predictor.observe(rate * (0.8 + 0.1 * (step * 7 % 5)))
    return predictor


def running(elapsed: float = 4.0, offered: float = 40.0, backlog: float = 0.0, fill_rate: float = 12.0) -> Running:
    return Running(elapsed, INTERVAL, offered, 0.0, backlog, fill_rate)


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (running(), None),
        # Twice the usual, beyond the fill rate.
        (running(offered=80.0), "demand"),
        # As much, and the fill rate serves it.
        (running(offered=80.0, fill_rate=20.0), None),
        # Beyond the fill rate, but as expected.
        (running(offered=42.0, fill_rate=5.0), None),
        # A quarter of a second's tokens wait.
        (running(backlog=3.1), "queue"),
        (running(backlog=2.9), None),
        (running(backlog=1.0, fill_rate=0.0), "queue"),
        # Half of the window and nothing came: others could use the grant.
        (running(elapsed=6.0, offered=0.0), "slack"),
        (running(elapsed=4.0, offered=0.0), None),
        (running(elapsed=6.0, offered=55.0), None),
        (running(elapsed=6.0, offered=0.0, fill_rate=0.0), None),
        (running(elapsed=0.0, offered=100.0), "demand"),
    ],
)
def test_a_window_is_reported_early_for_what_changes_the_grant(case: Running, reason: Reason | None) -> None:
    assert Watch().reason(100.0, case, steady(), 0.95, news=False) == reason


def test_declared_work_is_reported_at_once_and_is_no_surprise_when_it_comes() -> None:
    assert Watch().reason(100.0, running(), steady(), 0.95, news=True) == "declared"
    announced = running(offered=90.0)._replace(declared=50.0)
    assert Watch().reason(100.0, announced, steady(), 0.95, news=False) is None


def test_a_client_of_whom_nothing_is_known_is_watched_by_its_queue_only() -> None:
    newcomer = Predictor("Ensemble", 3)
    assert Watch().reason(100.0, running(offered=500.0), newcomer, 0.95, news=False) is None
    assert Watch().reason(100.0, running(backlog=50.0), newcomer, 0.95, news=False) == "queue"


def told(watch: Watch, now: float, case: Running) -> Reason | None:
    """What the watch says, and that it went out."""
    reason = watch.reason(now, case, steady(), 0.95, news=False)
    if reason:
        watch.told(now, reason, case)
    return reason


def test_early_reports_are_a_tenth_of_a_second_apart() -> None:
    watch = Watch()
    assert told(watch, 100.0, running(backlog=20.0)) == "queue"
    assert told(watch, 100.09, running(backlog=200.0)) is None
    assert told(watch, 100.1, running(backlog=200.0)) == "queue"


def test_a_queue_is_told_again_only_when_it_has_grown() -> None:
    watch = Watch()
    assert [told(watch, 100.0 + second, running(backlog=20.0)) for second in range(5)] == ["queue"] + [None] * 4
    watch.window_ended(backlog=20.0, offered=40.0)
    assert told(watch, 110.0, running(backlog=27.0)) is None
    assert told(watch, 111.0, running(backlog=29.0)) == "queue"


def moments_of(watch: Watch, seconds: float, backlog: float = 20.0) -> list[float]:
    """When a queue that doubles with each report is told of, looked at every twentieth of a second."""
    moments = []
    for look in range(round(20 * seconds)):
        if told(watch, 100.0 + look / 20, running(backlog=backlog)):
            moments.append(look / 20)
            backlog *= 2.0
    return moments


def test_a_queue_that_nobody_helps_is_told_of_half_as_often_each_time() -> None:
    assert moments_of(Watch(), 4.0) == [0.0, 0.1, 0.3, 0.7, 1.5, 3.1]


@pytest.mark.parametrize(("tokens", "waits"), [(0.0, 0.4), (9.0, 0.4), (10.0, GAP_SECONDS)])
def test_help_by_half_is_worth_asking_again(tokens: float, waits: float) -> None:
    watch = Watch(told_backlog=20.0, queue_from=100.4, queue_gap=0.8)
    watch.helped(tokens)
    assert (watch.queue_from <= 100.0) == (waits == GAP_SECONDS)
    assert watch.queue_gap == (GAP_SECONDS if waits == GAP_SECONDS else 0.8)


def test_a_queue_that_has_gone_and_comes_again_is_a_new_one() -> None:
    watch = Watch()
    assert len(moments_of(watch, 2.0)) == 5
    assert told(watch, 102.0, running()) is None
    assert (told(watch, 102.1, running(backlog=20.0)), told(watch, 102.2, running(backlog=40.0))) == ("queue", "queue")


def test_a_surprise_is_told_once_a_window() -> None:
    watch = Watch()
    assert [told(watch, 100.0 + second, running(offered=80.0)) for second in range(4)] == ["demand"] + [None] * 3
    watch.window_ended(backlog=0.0, offered=80.0)
    assert told(watch, 106.0, running(elapsed=0.0, offered=0.0)) is None
    assert told(watch, 110.0, running(offered=80.0)) == "demand"


def test_a_surprise_that_grows_is_told_again() -> None:
    watch = Watch()
    cases = [running(elapsed=2.0 + second, offered=40.0 + 30.0 * second) for second in range(3)]
    assert [told(watch, 100.0 + second, case) for second, case in enumerate(cases)] == ["demand"] * 3


def test_the_last_second_of_a_calm_window_is_enough_for_a_surprise() -> None:
    watch = Watch()
    assert told(watch, 100.0, running(elapsed=8.0, offered=76.0)) is None
    assert told(watch, 101.0, running(elapsed=9.0, offered=101.0)) == "demand"


def test_what_came_lately_spans_windows_and_is_a_second_or_two_old() -> None:
    watch, seen = Watch(), []
    for tenth in range(1, 41):
        elapsed = tenth / 10 if tenth <= 20 else (tenth - 20) / 10
        seconds, offered = watch.lately(100.0 + tenth / 10, running(elapsed=elapsed, offered=30.0 * elapsed))
        if tenth == 20:
            watch.window_ended(backlog=0.0, offered=60.0)
        if tenth > 10:
            seen.append(seconds)
            assert offered == pytest.approx(30.0 * seconds)
    assert min(seen) > 0.9
    assert max(seen) < 2.2


def test_the_first_requests_of_a_window_are_no_surprise() -> None:
    assert told(Watch(), 100.0, running(elapsed=0.03, offered=11.0)) is None


def test_a_window_has_few_early_reports() -> None:
    watch = Watch()
    reasons = []
    for part in range(20):
        reasons.append(told(watch, 100.0 + part / 2, running(backlog=20.0 * 3.0**part)))
        watch.helped(1e12)
    assert reasons == ["queue"] * MOST_A_WINDOW + [None] * (20 - MOST_A_WINDOW)


def test_slack_is_told_once_in_three_windows() -> None:
    watch = Watch()
    seen = []
    for window in range(4):
        seen.append(told(watch, 100.0 + window * INTERVAL, running(elapsed=6.0, offered=0.0)))
        watch.window_ended(backlog=0.0, offered=0.0)
    assert seen == ["slack", None, None, "slack"]
