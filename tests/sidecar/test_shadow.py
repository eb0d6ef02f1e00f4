"""What enforcement would do, counted while nothing is enforced."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from forefill_sidecar.bucket import TokenBucket
from forefill_sidecar.shadow import Shadow


def shadow(rate: float = 1.0, burst: float = 2.0, tokens: float = 2.0) -> Shadow:
    return Shadow(TokenBucket(rate, burst, tokens, 0.0))


def test_what_the_bucket_holds_would_pass_the_next_waits_and_who_waits_too_long_is_refused() -> None:
    it = shadow()
    for _ in range(6):
        it.ask(0.0, 1.0, max_wait_seconds=2.0)

    assert (it.would_wait, it.would_refuse) == (2.0, 2.0)


def test_those_who_were_refused_take_nothing_from_those_who_come_later() -> None:
    it = shadow(tokens=0.0)
    for _ in range(10):
        it.ask(0.0, 1.0, max_wait_seconds=1.0)
    it.ask(2.0, 1.0, max_wait_seconds=0.0)

    assert (it.would_wait, it.would_refuse) == (1.0, 9.0)


def test_a_dearer_rate_counts_from_its_retune_on() -> None:
    it = shadow(rate=0.0, tokens=0.0)
    it.ask(0.0, 1.0, max_wait_seconds=5.0)
    it.retune(0.0, 10.0, 2.0)
    it.ask(0.0, 1.0, max_wait_seconds=5.0)

    assert (it.would_wait, it.would_refuse) == (1.0, 1.0)


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.1, 5.0)), max_size=40))
def test_nothing_counts_twice(arrivals: list[tuple[float, float]]) -> None:
    it, now, asked = shadow(), 0.0, 0.0
    for gap, cost in arrivals:
        now += gap
        asked += cost
        it.ask(now, cost, max_wait_seconds=1.0)

    assert it.would_wait + it.would_refuse <= asked + 1e-6


@given(st.lists(st.floats(0.1, 5.0), max_size=40))
def test_with_endless_patience_nobody_is_refused(costs: list[float]) -> None:
    it = shadow()
    for cost in costs:
        it.ask(0.0, cost, max_wait_seconds=inf)

    assert it.would_refuse == 0.0
