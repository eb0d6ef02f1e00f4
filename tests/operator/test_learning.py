from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from forefill_operator.learning import Learning, claimed_envelope, confirmed_envelope
from forefill_operator.policy import TokenPolicy
from forefill_protocol.messages import Holding

Make = Callable[..., TokenPolicy]


def holding(**changes: Any) -> Holding:
    facts: dict[str, Any] = {"grant_sequence": 9, "fill_rate": 60.0, "safe_rate": 20.0, "seconds_left": 5.0}
    return Holding("ai/llm", **(facts | changes))


def test_claims_take_their_part_out_of_what_is_unknown_and_together_never_exceed_it() -> None:
    learning = Learning(100.0, until=30.0)
    assert [learning.confirm(60.0, 1.0), learning.unknown_at(1.0)] == [60.0, 40.0]
    assert [learning.confirm(60.0, 2.0), learning.unknown_at(2.0)] == [40.0, 0.0]
    assert learning.confirm(60.0, 3.0) == 0.0


def test_after_learning_nothing_is_unknown_or_confirmed() -> None:
    learning = Learning(100.0, until=30.0)
    assert (learning.unknown_at(29.9), learning.unknown_at(30.0), learning.confirm(5.0, 30.0)) == (100.0, 0.0, 0.0)


def test_a_confirmed_claim_is_the_envelope_that_the_client_follows(make_policy: Make) -> None:
    made = confirmed_envelope(holding(), make_policy().spec, Learning(400.0, 30.0), 1.0)
    assert (made.sequence, made.rate, made.safe_rate, made.last_rate) == (9, 60.0, 20.0, 20.0)
    assert (made.rate_until, made.lease_until) == pytest.approx((1.0 + 1.01 * 5.0, 1.0 + 1.01 * 30.0))


@pytest.mark.parametrize(
    ("word", "rate"),
    [
        (holding(grant_sequence=0, fill_rate=0.0, safe_rate=20.0), 20.0),
        (holding(grant_sequence=0, fill_rate=20.0, safe_rate=20.0), 20.0),
        (holding(fill_rate=1e12, safe_rate=1e12), 50.0),
    ],
)
def test_an_unproven_claim_counts_up_to_a_safe_share(make_policy: Make, word: Holding, rate: float) -> None:
    made = claimed_envelope(word, make_policy().spec, clients=4, now=0.0)
    assert (made.rate_at(0.0), made.rate_at(inf)) == (rate, rate)
