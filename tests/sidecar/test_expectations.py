from forefill_protocol.messages import Expectation
from forefill_sidecar.expectations import MAX_PENDING, Expectations


def test_declared_work_comes_nearer_and_is_used_up() -> None:
    expectations = Expectations()
    expectations.declare(100.0, after_seconds=60.0, for_seconds=10.0, tokens=500.0)
    expectations.declare(100.0, after_seconds=20.0, for_seconds=5.0, tokens=50.0)

    assert expectations.coming(110.0) == [Expectation(10.0, 5.0, 50.0), Expectation(50.0, 10.0, 500.0)]
    assert expectations.coming(164.0) == [Expectation(0.0, 6.0, 300.0)]
    assert expectations.coming(170.0) == []


def test_no_more_is_taken_in_than_a_report_carries() -> None:
    expectations = Expectations()
    taken = [expectations.declare(0.0, 5.0, 1.0, 1.0) for _ in range(MAX_PENDING + 1)]

    assert taken == [True] * MAX_PENDING + [False]
    assert expectations.declare(7.0, 5.0, 1.0, 1.0)
