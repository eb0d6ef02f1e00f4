import hmac
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_operator import tickets
from forefill_operator.tickets import (
    KEY_SECONDS,
    LIFE_SECONDS,
    MOST_BYTES,
    SETTLE_SECONDS,
    SKEW_SECONDS,
    BadTicket,
    Key,
    Ticket,
)

NOW = 1_700_000_000.0
OLD, NEW = Key(b"o" * 32, NOW - 1000.0), Key(b"n" * 32, NOW - 10.0)
TICKET = Ticket(
    pod_uid="7f0f7c0e-6a53-4f1c-9f63-0a4c36a9f0d1",
    policy_uid="0b8a1d5c-9a6e-4a0e-8a1e-8c2f7b6d5e4f",
    rate=40.0,
    safe_rate=4.0,
    sequence=7,
    issued_at=NOW,
    until=NOW + LIFE_SECONDS,
    token=tickets.digest("a.b.c"),
    namespace="shop",
    service_account="web",
    pod="web-6f9c-x2x9z",
    workload="Deployment/web",
    labels={"tier": "web"},
)


def changed(**fields: Any) -> Ticket:
    return msgspec.structs.replace(TICKET, **fields)


def word(check: Any, *arguments: Any) -> str:
    try:
        check(*arguments)
    except BadTicket as bad:
        return str(bad)
    return "good"


def test_what_was_sealed_is_unsealed_by_either_key_and_is_small() -> None:
    for key in (OLD, NEW):
        sealed = tickets.seal(TICKET, key)
        assert tickets.unseal(sealed, (OLD, NEW)) == TICKET
        assert len(sealed) < 300


def test_a_ticket_ends_in_an_hmac_over_all_of_it() -> None:
    sealed = tickets.seal(TICKET, OLD)
    assert hmac.digest(OLD.secret, sealed[:-32], "sha256") == sealed[-32:]


def test_a_ticket_of_a_key_that_is_gone_is_forged() -> None:
    assert word(tickets.unseal, tickets.seal(TICKET, OLD), (NEW,)) == "forged"


@given(st.data())
def test_one_changed_byte_makes_it_forged(data: Any) -> None:
    sealed = bytearray(tickets.seal(TICKET, OLD))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))
    assert word(tickets.unseal, bytes(sealed), (OLD, NEW)) == "forged"


@given(st.binary(max_size=600))
def test_any_bytes_are_forged(data: bytes) -> None:
    assert word(tickets.unseal, data, (OLD, NEW)) == "forged"


def test_a_ticket_that_would_be_too_large_is_not_given() -> None:
    assert tickets.seal(changed(labels={"x": "y" * MOST_BYTES}), OLD) == b""


@pytest.mark.parametrize(
    ("ticket", "token", "now", "expected"),
    [
        (TICKET, "a.b.c", NOW, "good"),
        (TICKET, "a.b.c", NOW + LIFE_SECONDS - 1, "good"),
        (TICKET, "a.b.c", NOW + LIFE_SECONDS, "stale"),
        (changed(until=NOW + 5.0), "a.b.c", NOW + 5.0, "stale"),
        (TICKET, "a.b.c", NOW - SKEW_SECONDS, "good"),
        (TICKET, "a.b.c", NOW - SKEW_SECONDS - 1, "stale"),
        (changed(until=NOW + 1e9), "a.b.c", NOW + LIFE_SECONDS + SKEW_SECONDS + 1, "stale"),
        (TICKET, "a.b.d", NOW, "other_token"),
        (TICKET, "", NOW, "other_token"),
    ],
)
def test_a_stream_opens_only_for_the_token_and_for_ten_minutes(
    ticket: Ticket, token: str, now: float, expected: str
) -> None:
    assert word(tickets.check_opens, ticket, token, now) == expected


@pytest.mark.parametrize(
    ("pod", "policy", "sequence", "now", "expected"),
    [
        (TICKET.pod_uid, TICKET.policy_uid, 7, NOW, "good"),
        (TICKET.pod_uid, TICKET.policy_uid, 8, NOW, "good"),
        (TICKET.pod_uid, TICKET.policy_uid, 6, NOW, "other_grant"),
        ("another", TICKET.policy_uid, 7, NOW, "other_pod"),
        (TICKET.pod_uid, "another", 7, NOW, "other_policy"),
        (TICKET.pod_uid, TICKET.policy_uid, 7, NOW + 30.0 + SKEW_SECONDS, "good"),
        (TICKET.pod_uid, TICKET.policy_uid, 7, NOW + 31.0 + SKEW_SECONDS, "stale"),
        (TICKET.pod_uid, TICKET.policy_uid, 7, NOW - SKEW_SECONDS - 1, "stale"),
    ],
)
def test_a_holding_is_proven_by_its_own_ticket_of_the_last_lease(
    pod: str, policy: str, sequence: int, now: float, expected: str
) -> None:
    assert word(tickets.check_proves, TICKET, pod, policy, sequence, 30.0, now) == expected


def test_the_first_key_is_made_and_signs_at_once() -> None:
    (key,) = tickets.rotated((), NOW)
    assert (len(key.secret), key.made_at) == (32, NOW)
    assert tickets.signing((key,), NOW) == key


def test_a_new_key_signs_when_every_operator_knows_it_and_the_old_one_goes_when_its_tickets_are_over() -> None:
    (first,) = tickets.rotated((), NOW)
    assert tickets.rotated((first,), NOW + KEY_SECONDS) == (first,)
    changed_at = NOW + KEY_SECONDS + 1
    both = tickets.rotated((first,), changed_at)
    assert [key.made_at for key in both] == [NOW, changed_at]
    assert tickets.signing(both, changed_at + SETTLE_SECONDS - 1) == first
    assert tickets.signing(both, changed_at + SETTLE_SECONDS) == both[1]
    over = SETTLE_SECONDS + LIFE_SECONDS + 2 * SKEW_SECONDS
    assert tickets.rotated(both, changed_at + over) == both
    assert tickets.rotated(both, changed_at + over + 1) == both[1:]


@given(st.lists(st.floats(0.0, 4 * KEY_SECONDS), min_size=1, max_size=40))
def test_whenever_it_is_looked_after_every_ticket_of_the_last_ten_minutes_opens(moments: list[float]) -> None:
    keys: tuple[Key, ...] = ()
    given_out: list[tuple[float, bytes]] = []
    for moment in sorted(moments):
        keys = tickets.rotated(keys, moment)
        for issued_at, sealed in given_out:
            if moment - issued_at < LIFE_SECONDS:
                assert tickets.unseal(sealed, keys).sequence == 7
        given_out.append((moment, tickets.seal(TICKET, tickets.signing(keys, moment))))


def test_keys_are_kept_as_json() -> None:
    assert tickets.decode_keys(tickets.encode_keys((OLD, NEW))) == (OLD, NEW)


@pytest.mark.parametrize("text", [b"", b"{}", b'[{"secret": "!", "made_at": 1}]', b"[1]"])
def test_what_holds_no_keys_is_told(text: bytes) -> None:
    with pytest.raises(ValueError, match="the ticket keys can't be read"):
        tickets.decode_keys(text)
