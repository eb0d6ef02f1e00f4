import json
from math import inf

import pytest

from forefill_protocol.messages import Expectation
from forefill_sidecar.expectations import LATE_SECONDS, MAX_KEPT, MAX_PENDING, Expectations
from forefill_sidecar.reliability import MOST_NAMES, Reliability


def test_declared_work_comes_nearer_and_is_used_up() -> None:
    expectations = Expectations()
    expectations.declare(100.0, after_seconds=60.0, for_seconds=10.0, tokens=500.0)
    expectations.declare(100.0, after_seconds=20.0, for_seconds=5.0, tokens=50.0)

    assert expectations.coming(110.0) == [Expectation(10.0, 5.0, 50.0), Expectation(50.0, 10.0, 500.0)]
    assert expectations.coming(164.0) == [Expectation(0.0, 6.0, 300.0)]
    assert expectations.coming(170.0) == []


def test_no_more_is_taken_in_than_a_report_carries() -> None:
    expectations = Expectations()
    taken = [expectations.declare(0.0, 5.0, 1.0, 1.0 + number) for number in range(MAX_PENDING + 1)]

    assert taken == [True] * MAX_PENDING + [False]
    assert expectations.declare(7.0, 5.0, 1.0, 1.0)


def test_nobody_fills_the_memory_with_work_that_is_over_at_once() -> None:
    expectations = Expectations()
    taken = [expectations.declare(0.1 * number, 0.0, 0.001, 1.0 + number) for number in range(10 * MAX_KEPT)]
    assert (len(expectations.pending), sum(taken)) == (MAX_KEPT, MAX_KEPT + 39)


def test_where_nobody_counts_windows_declarations_are_forgotten() -> None:
    expectations = Expectations()
    taken = [expectations.declare(100.0 * moment, 0.0, 1.0, 1.0) for moment in range(10 * MAX_KEPT)]
    assert (all(taken), len(expectations.pending)) == (True, 1)


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        # The same, half a second later.
        ({"after_seconds": 19.5, "tokens": 50.0}, [50.0]),
        # Another amount at the same moment is other work.
        ({"after_seconds": 20.0, "tokens": 60.0}, [50.0, 60.0]),
        # The same amount at another moment, too.
        ({"after_seconds": 30.0, "tokens": 50.0}, [50.0, 50.0]),
        ({"after_seconds": 20.0, "tokens": 50.0, "by": "other"}, [50.0, 50.0]),
    ],
)
def test_the_same_said_again_counts_once(again: dict[str, object], expected: list[float]) -> None:
    expectations = Expectations()
    expectations.declare(100.0, 20.5, 5.0, 50.0)
    expectations.declare(100.5, for_seconds=5.0, **again)  # type: ignore[arg-type]
    assert [each.tokens for each in expectations.coming(101.0)] == expected


def test_work_of_one_id_is_what_was_said_last() -> None:
    expectations = Expectations()
    expectations.declare(100.0, 20.0, 5.0, 50.0, id="nightly")
    expectations.declare(100.0, 60.0, 10.0, 80.0, id="nightly")
    assert expectations.coming(100.0) == [Expectation(60.0, 10.0, 80.0)]


def test_news_is_news_until_a_report_has_carried_it() -> None:
    expectations = Expectations()
    assert expectations.news_at == inf
    expectations.declare(100.0, 20.0, 5.0, 50.0)
    assert expectations.news_at == 120.0
    expectations.reported()
    assert expectations.news_at == inf


def declared_at(expectations: Expectations, now: float, tokens: float = 100.0, by: str = "cron") -> None:
    expectations.declare(now, after_seconds=0.0, for_seconds=5.0, tokens=tokens, by=by)


def test_what_came_beyond_the_forecast_is_the_declarations_as_far_as_they_go() -> None:
    expectations = Expectations()
    declared_at(expectations, 100.0)
    assert expectations.settle(110.0, surprise=130.0) == 100.0
    assert expectations.settle(120.0, surprise=50.0) == 0.0
    assert expectations.pending == []
    assert expectations.reliability.of("cron") == 1.0


def test_work_that_comes_a_window_late_still_counts_as_declared() -> None:
    expectations = Expectations()
    declared_at(expectations, 100.0)
    assert expectations.settle(105.0 + LATE_SECONDS - 1.0, surprise=-20.0) == 0.0
    assert expectations.settle(105.0 + LATE_SECONDS, surprise=100.0) == 100.0
    assert expectations.reliability.of("cron") == 1.0


def test_false_declarations_stop_counting_and_true_ones_win_trust_back() -> None:
    expectations, now, said = Expectations(), 0.0, []
    for came in [0.0] * 4 + [100.0] * 4:
        declared_at(expectations, now)
        said.append(round(sum(each.tokens for each in expectations.coming(now))))
        for _ in range(2):
            now += 10.0
            expectations.settle(now, surprise=came)
    assert said == [100, 25, 0, 0, 0, 40, 86, 100]


def lied(expectations: Expectations, now: float, by: str) -> float:
    """One declaration of 100 tokens that does not come; returns when it is judged."""
    declared_at(expectations, now, by=by)
    for later in (10.0, 20.0):
        expectations.settle(now + later, surprise=0.0)
    return now + 20.0


def test_only_the_name_that_declared_falsely_is_believed_less() -> None:
    expectations = Expectations()
    declared_at(expectations, 0.0, by="honest")
    expectations.settle(20.0, surprise=100.0)
    now = lied(expectations, 20.0, "liar")
    assert expectations.reliability.of("liar") < 0.5
    assert expectations.reliability.of("honest") == 1.0
    assert expectations.reliability.of("liar") < expectations.reliability.overall() < 1.0
    expectations.declare(now, 0.0, 10.0, 100.0, by="liar")
    assert expectations.between(now, now, now + 5.0) == pytest.approx(50.0 * expectations.reliability.of("liar"))


def test_a_new_name_for_every_lie_is_believed_as_little_as_the_old_ones() -> None:
    expectations, now, said = Expectations(), 0.0, []
    for number in range(4):
        said.append(round(expectations.belief(now, str(number)), 2))
        now = lied(expectations, now, str(number))
    assert said == [1.0, 0.25, 0.02, 0.0]


def test_work_that_does_not_come_stops_counting_long_before_it_is_over() -> None:
    expectations, said = Expectations(), []
    expectations.declare(0.0, after_seconds=0.0, for_seconds=3600.0, tokens=36_000.0)
    for window in range(1, 11):
        expectations.settle(10.0 * window, surprise=0.0)
        said.append(round(expectations.belief(10.0 * window, ""), 2))
    assert said == [1.0, 0.5, 0.17, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert expectations.coming(100.0) == []


def test_long_work_that_comes_is_believed_to_its_end() -> None:
    expectations = Expectations()
    expectations.declare(0.0, after_seconds=0.0, for_seconds=3600.0, tokens=36_000.0)
    for window in range(1, 361):
        assert expectations.settle(10.0 * window, surprise=100.0) == pytest.approx(100.0)
        assert expectations.belief(10.0 * window, "") == 1.0


def test_who_puts_work_off_is_judged_by_what_was_due() -> None:
    expectations, said = Expectations(), []
    for moment in range(5):
        expectations.declare(20.0 * moment, after_seconds=1.0, for_seconds=20.0, tokens=100.0, id="nightly")
        said.append(round(expectations.belief(20.0 * moment, ""), 2))
        expectations.settle(20.0 * moment + 10.0, surprise=0.0)
    assert said == [1.0, 0.0, 0.0, 0.0, 0.0]


def test_small_true_declarations_do_not_make_up_for_a_large_false_one() -> None:
    reliability = Reliability()
    reliability.learn("cron", 1000.0, 0.0)
    for _ in range(20):
        reliability.learn("cron", 1.0, 1.0)
    assert reliability.of("cron") < 0.3


def test_what_wavers_by_chance_is_not_taken_for_declared_work() -> None:
    expectations = Expectations()
    declared_at(expectations, 100.0)
    assert expectations.settle(110.0, surprise=30.0, chance=40.0) == 0.0
    assert expectations.settle(115.0, surprise=60.0, chance=40.0) == 60.0


def test_what_is_not_believed_is_no_news_and_teaches_the_model() -> None:
    expectations, now = Expectations(), 0.0
    for _ in range(3):
        now = lied(expectations, now, "liar")
    expectations.reported()
    declared_at(expectations, now, by="liar")
    assert expectations.news_at == inf
    assert expectations.settle(now + 10.0, surprise=100.0) == 0.0


def test_what_was_declared_survives_a_restart() -> None:
    expectations, twin = Expectations(), Expectations()
    expectations.reliability.learn("cron", 100.0, 50.0)
    expectations.declare(100.0, 60.0, 10.0, 500.0, id="nightly", by="cron")
    twin.decode(json.loads(json.dumps(expectations.encode(110.0))), now=7.0, age_seconds=20.0)
    assert twin.coming(7.0) == expectations.coming(130.0)
    assert twin.reliability == expectations.reliability


@pytest.mark.parametrize(
    "plain",
    [None, {}, {"pending": [], "reliability": [["cron", 1.0, 2.0]]}, {"pending": [["soon"]], "reliability": []}],
)
def test_what_was_not_declared_is_refused(plain: object) -> None:
    expectations = Expectations()
    with pytest.raises(ValueError, match=r"\S"):
        expectations.decode(plain, now=0.0, age_seconds=0.0)
    assert expectations == Expectations()


def test_as_many_names_are_remembered_as_fit() -> None:
    reliability = Reliability()
    for number in range(MOST_NAMES + 5):
        reliability.learn(str(number), 10.0, 0.0)
    assert list(reliability.scores) == [str(number) for number in range(5, MOST_NAMES + 5)]
