from forefill_operator.throttle import Budget, Crowd, Pace, Throttle


def test_a_budget_allows_a_burst_and_then_a_rate() -> None:
    budget = Budget(2.0, 3.0, 3.0, 0.0)
    assert [budget.spend(0.0) for _ in range(4)] == [True, True, True, False]
    assert [budget.spend(0.5), budget.spend(0.5)] == [True, False]
    assert budget.left(1000.0) == 3.0


def test_a_clock_that_jumps_back_earns_nothing() -> None:
    budget = Budget(2.0, 3.0, 0.0, 100.0)
    assert budget.left(50.0) == 0.0


def test_who_fails_too_often_may_not_try_until_time_has_passed_and_others_may() -> None:
    throttle = Throttle(per_second=2.0, burst=3.0)
    for _ in range(3):
        assert throttle.allows("a", 0.0)
        throttle.failed("a", 0.0)
    assert (throttle.allows("a", 0.4), throttle.allows("b", 0.4), throttle.allows("a", 0.5)) == (False, True, True)


def test_failing_on_while_not_allowed_does_not_make_it_longer() -> None:
    throttle = Throttle(per_second=1.0, burst=1.0)
    for _ in range(100):
        throttle.failed("a", 0.0)
    assert throttle.allows("a", 1.0)


def test_memory_is_bounded_and_keeps_who_tried_last() -> None:
    throttle = Throttle(per_second=0.001, burst=1.0, most=10)
    for number in range(1000):
        throttle.failed(number, 0.0)
    assert len(throttle) == 10
    assert [throttle.allows(number, 0.0) for number in (0, 989, 990, 999)] == [True, True, False, False]


def test_a_crowd_counts_each_and_all() -> None:
    crowd = Crowd()
    for key in ("a", "a", "b"):
        crowd.enter(key)
    crowd.leave("a")
    assert (crowd.of("a"), crowd.of("b"), crowd.of("c"), crowd.total) == (1, 1, 0, 2)
    crowd.leave("a")
    crowd.leave("b")
    assert vars(crowd) == {"_counts": {}, "total": 0}


def test_a_pace_tells_the_messages_of_a_second_that_are_too_many() -> None:
    pace = Pace(2)
    assert [pace.count(7.0 + 0.1 * number) for number in range(5)] == [0, 0, 1, 2, 3]
    assert [pace.count(8.0), pace.count(8.5)] == [0, 0]


def test_seconds_of_flood_count_only_in_a_row() -> None:
    pace = Pace(1)
    seen = []
    for second in (1, 2, 3, 5, 6):
        pace.count(float(second))
        seen.append(pace.flooded_seconds)
        pace.count(second + 0.5)
    assert seen == [0, 1, 2, 0, 1]
