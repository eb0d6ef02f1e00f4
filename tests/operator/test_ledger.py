from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_operator.envelope import Envelope, Held, joined
from forefill_operator.ledger import MOST_OUTSTANDING, Ledger


def envelope(
    sequence: int, rate: float, *, at: float = 0.0, safe: float | None = None, last: float | None = None
) -> Envelope:
    safe_rate = rate / 2 if safe is None else safe
    return Envelope(sequence, rate, at + 12.0, safe_rate, at + 30.0, safe_rate if last is None else last, 3 * rate)


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    last, safe, rate = sorted(draw(st.lists(st.floats(0.0, 100.0), min_size=3, max_size=3)))
    until, lease = sorted(draw(st.lists(st.floats(0.0, 50.0), min_size=2, max_size=2)))
    moments = sorted(draw(st.lists(st.floats(0.0, until), max_size=2)))
    fallen = sorted(draw(st.lists(st.floats(safe, rate), min_size=len(moments), max_size=len(moments))), reverse=True)
    return Envelope(
        draw(st.integers(1, 50)), rate, until, safe, lease, draw(st.sampled_from([0.0, last])), rate,
        tuple((at, rate) for at, rate in zip(moments, fallen, strict=True) if at < until),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("now", "rate"), [(0.0, 10.0), (11.9, 10.0), (12.0, 5.0), (29.9, 5.0), (30.0, 1.0), (1e9, 1.0)]
)
def test_an_envelope_falls_to_the_safe_rate_and_then_to_the_last(now: float, rate: float) -> None:
    assert envelope(1, 10.0, safe=5.0, last=1.0).rate_at(now) == rate


def test_until_it_is_acknowledged_a_reduction_counts_as_what_it_was() -> None:
    ledger = Ledger()
    ledger.issue("a", envelope(1, 10.0), 0.0)
    ledger.issue("a", envelope(2, 4.0), 1.0)
    assert ledger.held == Held(10.0, 5.0, 30.0)
    ledger.acknowledge("a", 2, 2.0)
    assert ledger.held == Held(4.0, 2.0, 12.0)


def test_an_unacknowledged_reduction_counts_less_when_the_old_envelope_falls_by_itself() -> None:
    ledger = Ledger()
    ledger.issue("a", envelope(1, 10.0, safe=1.0), 0.0)
    ledger.issue("a", envelope(2, 4.0, at=5.0, safe=0.0), 5.0)
    ledger.refresh(12.0)
    assert ledger.held == Held(4.0, 1.0, 30.0)


def test_an_acknowledgement_of_something_never_granted_changes_nothing() -> None:
    ledger = Ledger()
    ledger.issue("a", envelope(1, 10.0), 0.0)
    ledger.acknowledge("a", 99, 1.0)
    ledger.acknowledge("b", 1, 1.0)
    assert ledger.held == Held(10.0, 5.0, 30.0)


def test_a_claim_is_held_until_a_grant_is_acknowledged_but_is_no_grant() -> None:
    ledger = Ledger()
    ledger.claim("a", envelope(0, 7.0), 0.0)
    ledger.issue("a", envelope(1, 2.0), 0.0)
    assert (ledger.held.rate, ledger.granted_to("a", 0.0).rate) == (7.0, 2.0)
    ledger.acknowledge("a", 1, 1.0)
    assert ledger.held.rate == 2.0


def test_a_released_client_holds_nothing() -> None:
    ledger = Ledger()
    ledger.issue("a", envelope(1, 10.0), 0.0)
    ledger.issue("b", envelope(1, 3.0), 0.0)
    ledger.release("a")
    ledger.release("never-seen")
    assert (ledger.held, ledger.others("b"), ledger.granted_to("a", 0.0)) == (Held(3.0, 1.5, 9.0), Held(), Held())


def test_a_client_that_never_acknowledges_does_not_grow_the_ledger() -> None:
    ledger = Ledger()
    for sequence in range(1, 100):
        ledger.issue("a", envelope(sequence, float(sequence % 7)), 0.0)
    assert len(ledger.accounts["a"].outstanding) == MOST_OUTSTANDING
    assert ledger.held.rate == 6.0


@given(envelopes(), envelopes(), st.floats(0.0, 60.0), st.floats(0.0, 60.0))
def test_joined_envelopes_lie_on_or_above_both_and_let_nothing_rise(
    one: Envelope, other: Envelope, now: float, later: float
) -> None:
    both, then = joined(one, other, now), now + later
    assert both.rate_at(now) == max(one.rate_at(now), other.rate_at(now))
    assert both.safe_rate_at(now) == max(one.safe_rate_at(now), other.safe_rate_at(now))
    assert both.burst_at(now) == max(one.burst_at(now), other.burst_at(now))
    assert both.rate_at(now) >= both.rate_at(then) >= max(one.rate_at(then), other.rate_at(then))
    assert both.burst_at(then) >= max(one.burst_at(then), other.burst_at(then))


@given(st.lists(st.tuples(st.sampled_from("abc"), envelopes(), st.booleans()), max_size=30))
def test_the_sum_never_falls_short_of_the_accounts_and_only_falls_by_itself(
    events: list[tuple[str, Envelope, bool]],
) -> None:
    ledger = Ledger()
    for now, (uid, granted, acknowledged) in enumerate(events):
        ledger.issue(uid, granted, float(now))
        if acknowledged:
            ledger.acknowledge(uid, granted.sequence, float(now))
        counted = sum(account.held_at(float(now)).rate for account in ledger.accounts.values())
        assert ledger.held.rate >= counted - 1e-6
    before = inf
    for now in range(len(events), 60):
        ledger.refresh(float(now))
        assert ledger.held.rate <= before
        before = ledger.held.rate
