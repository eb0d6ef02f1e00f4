import pytest

from forefill_lab.demo.load import NO_ANSWER, Outcome
from forefill_lab.demo.results import Result, quantile, result, unanswered

OUTCOMES = [
    Outcome(-1.0, 200, 9.0),
    Outcome(0.0, 200, 0.1),
    Outcome(1.0, 200, 0.59),
    Outcome(2.0, 200, 0.61),
    Outcome(3.0, 429, 2.0),
]


def test_the_result_counts_what_was_due_in_the_measured_seconds() -> None:
    assert result(OUTCOMES, seconds=4.0, capacity=1.0, service_seconds=0.1, over_grant=2.5) == Result(
        offered=4,
        served=3,
        on_time_share=0.5,
        wait_p95_seconds=2.0,
        rejected=1,
        capacity_used=0.75,
        over_grant=2.5,
    )


def test_nothing_offered_is_nothing_late() -> None:
    assert result([], 4.0, 1.0, 0.1, 0.0) == Result(0, 0, 1.0, 0.0, 0, 0.0, 0.0)


def test_what_is_neither_served_nor_refused_for_want_of_tokens_counts_as_unanswered() -> None:
    assert unanswered([*OUTCOMES, Outcome(0.0, NO_ANSWER, 0.1), Outcome(0.0, 502, 0.1)]) == 2


@pytest.mark.parametrize(("level", "expected"), [(0.0, 1.0), (0.5, 2.0), (0.51, 3.0), (0.95, 4.0), (1.0, 4.0)])
def test_a_quantile_is_the_smallest_value_that_so_many_do_not_exceed(level: float, expected: float) -> None:
    assert quantile([3.0, 1.0, 4.0, 2.0], level) == expected
