from hypothesis import given
from hypothesis import strategies as st

from forefill_operator.pool import POOL_SECONDS, Pool


def pool(rate: float = 10.0) -> Pool:
    made = Pool(0.0)
    made.retune(rate, 60.0, 0.0)
    return made


def test_a_pool_starts_empty_and_fills_at_its_rate_to_its_depth() -> None:
    assert [pool().tokens_at(now) for now in (0.0, 1.0, 3.0, 100.0)] == [0.0, 10.0, 30.0, 30.0]


def test_what_was_drawn_is_gone() -> None:
    shared = pool()
    assert [shared.draw(wanted, 2.0) for wanted in (15.0, 15.0, 15.0)] == [15.0, 5.0, 0.0]
    assert shared.tokens_at(3.0) == 10.0


def test_a_smaller_rate_clips_what_is_there_and_a_larger_one_adds_nothing_at_once() -> None:
    shared = pool()
    shared.retune(5.0, 60.0, 3.0)
    assert shared.tokens_at(3.0) == 15.0
    shared.retune(50.0, 60.0, 3.0)
    assert (shared.tokens_at(3.0), shared.depth) == (15.0, 150.0)


def test_a_policy_of_small_bursts_has_a_shallow_pool() -> None:
    shared = Pool(0.0)
    shared.retune(10.0, 0.5, 0.0)
    assert shared.depth == 5.0


def test_a_clock_that_goes_back_earns_nothing() -> None:
    shared = pool()
    assert shared.draw(5.0, 1.0) == 5.0
    assert shared.draw(100.0, 0.5) == 5.0


@given(
    st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(0.0, 1e3), st.one_of(st.none(), st.floats(0.0, 100.0)))),
)
def test_no_more_is_drawn_than_was_earned(steps: list[tuple[float, float, float | None]]) -> None:
    shared, now, rate, earned, drawn = pool(), 0.0, 10.0, 0.0, 0.0
    for seconds, wanted, changed in steps:
        now += seconds
        earned += rate * seconds
        if changed is not None:
            shared.retune(changed, POOL_SECONDS, now)
            rate = changed
        drawn += shared.draw(wanted, now)
        assert drawn <= earned * (1 + 1e-9) + 1e-9
        assert 0.0 <= shared.tokens_at(now) <= shared.depth
