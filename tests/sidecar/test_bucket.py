from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_sidecar.bucket import SLACK, TokenBucket


@pytest.mark.parametrize(
    ("elapsed", "tokens"),
    [(0.0, 2.0), (0.1, 3.0), (0.8, 10.0), (100.0, 10.0), (-5.0, 2.0)],
    ids=["now", "earning", "full at the burst", "never above it", "clock going back"],
)
def test_tokens_grow_with_time_up_to_the_burst(elapsed: float, tokens: float) -> None:
    bucket = TokenBucket(fill_rate=10.0, burst=10.0, tokens=2.0, updated_at=100.0)

    assert bucket.tokens_at(100.0 + elapsed) == pytest.approx(tokens)
    assert bucket == TokenBucket(10.0, 10.0, 2.0, 100.0)


@pytest.mark.parametrize(
    ("tokens", "cost", "is_taken", "left"),
    [
        (3.0, 3.0, True, 0.0),
        (2.9, 3.0, False, 2.9),
        (10.0, 25.0, True, -15.0),
        (9.9, 25.0, False, 9.9),
        (-4.0, 1.0, False, -4.0),
        (-4.0, 0.0, True, -4.0),
        (14.0, 12.0, True, 2.0),
    ],
    ids=["exact", "too few", "dearer than the burst", "dearer and not full", "in debt", "free in debt", "lump"],
)
def test_a_request_takes_its_whole_cost_or_nothing(tokens: float, cost: float, is_taken: bool, left: float) -> None:
    bucket = TokenBucket(fill_rate=1.0, burst=10.0, tokens=tokens, updated_at=0.0)

    assert bucket.try_take(0.0, cost) is is_taken
    assert bucket.tokens == pytest.approx(left)


def test_without_a_burst_only_lump_tokens_admit() -> None:
    bucket = TokenBucket(fill_rate=5.0, burst=0.0, tokens=0.0, updated_at=0.0)
    assert not bucket.try_take(10.0, 1.0)

    bucket.add(10.0, 1.5)

    assert bucket.try_take(10.0, 1.0)
    assert not bucket.try_take(10.0, 1.0)


def test_a_retune_settles_what_was_earned_at_the_old_rate() -> None:
    bucket = TokenBucket(fill_rate=10.0, burst=100.0, tokens=0.0, updated_at=0.0)

    bucket.retune(2.0, fill_rate=1.0, burst=100.0)
    assert bucket.tokens_at(3.0) == pytest.approx(21.0)

    bucket.retune(3.0, fill_rate=1.0, burst=5.0)
    assert bucket.tokens_at(3.0) == 5.0


@pytest.mark.parametrize(
    ("difference", "max_debt", "change", "left"),
    [(3.0, inf, 3.0, -1.0), (30.0, 8.0, 10.0, -8.0), (-3.0, inf, -3.0, 5.0), (-30.0, inf, -8.0, 10.0)],
    ids=["dearer", "debt is bounded", "cheaper", "given back up to the burst"],
)
def test_settling_moves_the_difference_within_bounds(
    difference: float, max_debt: float, change: float, left: float
) -> None:
    bucket = TokenBucket(fill_rate=1.0, burst=10.0, tokens=2.0, updated_at=0.0)

    assert bucket.settle(0.0, difference, max_debt) == change
    assert bucket.tokens == left


def test_settling_leaves_lump_tokens_above_the_burst_alone() -> None:
    bucket = TokenBucket(fill_rate=1.0, burst=10.0, tokens=25.0, updated_at=0.0)

    assert bucket.settle(0.0, -3.0) == 0.0
    assert bucket.tokens == 25.0


@pytest.mark.parametrize(
    ("tokens", "cost", "rate", "seconds"),
    [(5.0, 5.0, 2.0, 0.0), (1.0, 5.0, 2.0, 2.0), (-3.0, 50.0, 2.0, 6.5), (0.0, 1.0, 0.0, inf), (-1.0, 0.0, 1.0, 0.0)],
    ids=["there", "missing", "dearer than the burst", "no rate", "free"],
)
def test_the_wait_is_known(tokens: float, cost: float, rate: float, seconds: float) -> None:
    bucket = TokenBucket(fill_rate=rate, burst=10.0, tokens=tokens, updated_at=0.0)

    assert bucket.seconds_until(0.0, cost) == pytest.approx(seconds)


@given(
    rate=st.floats(0.01, 1e5),
    burst=st.floats(0.01, 1e5),
    tokens=st.floats(-1e3, 1e5),
    cost=st.floats(0.0, 2e5),
    start=st.floats(0.0, 1e6),
)
def test_whoever_waits_as_long_as_told_gets_in(
    rate: float, burst: float, tokens: float, cost: float, start: float
) -> None:
    bucket = TokenBucket(rate, burst, min(tokens, burst), start)

    # A clock that far from its zero has steps of up to 1e-10 s.
    wait = bucket.seconds_until(start, cost) + 1e-9

    assert bucket.try_take(start + wait, cost)


_RETUNE = st.tuples(st.just("retune"), st.floats(0.0, 100.0), st.floats(0.0, 50.0))
_TAKE = st.tuples(st.just("take"), st.floats(0.0, 80.0), st.just(0.0))
_LUMP = st.tuples(st.just("lump"), st.floats(0.0, 20.0), st.just(0.0))
_REFUND = st.tuples(st.just("refund"), st.just(0.0), st.just(0.0))


@given(st.lists(st.tuples(st.floats(-1.0, 5.0), st.one_of(_RETUNE, _TAKE, _LUMP, _REFUND)), max_size=60))
def test_admitted_stays_within_burst_lumps_earned_and_the_dearest_request(
    steps: list[tuple[float, tuple[str, float, float]]],
) -> None:
    """Invariant 2 of the design, through every retune, refund and jump of the clock."""
    now = latest = 0.0
    bucket = TokenBucket(fill_rate=3.0, burst=10.0, tokens=0.0, updated_at=0.0)
    largest_burst, earned, lumps, admitted, dearest, last = 10.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for elapsed, (what, first, second) in steps:
        now += elapsed
        earned += max(0.0, now - latest) * bucket.fill_rate
        latest = max(latest, now)
        if what == "retune":
            bucket.retune(now, first, second)
            largest_burst = max(largest_burst, second)
        elif what == "lump":
            bucket.add(now, first)
            lumps += first
        elif what == "refund":
            admitted += bucket.settle(now, -last)
            last = 0.0
        elif bucket.try_take(now, first):
            admitted, dearest, last = admitted + first, max(dearest, first), first
        assert admitted <= largest_burst + lumps + earned + dearest + len(steps) * SLACK + 1e-6
