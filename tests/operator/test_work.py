import pytest

from forefill_operator.work import Work, believed_work, declared, declared_rate, declared_tokens
from forefill_protocol.messages import Expectation


@pytest.mark.parametrize(
    ("expectation", "work"),
    [
        (Expectation(0.0, 0.0, 60.0), Work(100.0, 101.0, 60.0)),
        (Expectation(5.0, 10.0, 60.0), Work(105.0, 115.0, 6.0)),
        (Expectation(5.0, 0.1, 1e9), Work(105.0, 106.0, 400.0)),
    ],
)
def test_declared_work_has_a_rate_and_its_time(expectation: Expectation, work: Work) -> None:
    assert declared([expectation], 100.0, 400.0) == (work,)


def test_declared_work_counts_while_it_lasts_and_adds_up() -> None:
    work = declared([Expectation(5.0, 10.0, 60.0), Expectation(8.0, 2.0, 60.0)], 0.0, 400.0)
    moments = [(0.0, 2.0), (0.0, 5.0), (4.0, 6.0), (6.0, 8.0), (9.0, 11.0), (10.0, 12.0), (15.0, 99.0)]
    assert [declared_rate(work, *moment) for moment in moments] == [0.0, 6.0, 6.0, 36.0, 36.0, 6.0, 0.0]


def test_declared_tokens_are_those_of_the_time_that_is_asked_for() -> None:
    work = (Work(5.0, 15.0, 6.0), Work(8.0, 10.0, 30.0))
    times = [(0.0, 5.0), (0.0, 10.0), (9.0, 20.0), (15.0, 99.0)]
    assert [declared_tokens(work, *time) for time in times] == [0.0, 90.0, 66.0, 0.0]


@pytest.mark.parametrize(
    ("trust", "believed"), [(1.0, (Work(5.0, 15.0, 6.0),)), (0.5, (Work(5.0, 15.0, 3.0),)), (0.0, ())]
)
def test_declared_work_counts_as_far_as_the_client_is_trusted(trust: float, believed: tuple[Work, ...]) -> None:
    assert believed_work((Work(5.0, 15.0, 6.0),), trust) == believed
