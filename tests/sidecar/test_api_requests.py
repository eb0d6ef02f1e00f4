import pytest

from forefill_sidecar.api_requests import Acquire, Expect, read, seconds_ahead

NOON = 1_767_268_800.0  # 2026-01-01T12:00:00Z


def test_what_is_left_out_has_a_default() -> None:
    assert read(b"", Acquire) == Acquire(tokens=1.0, policy="", wait_seconds=None, urgency=3)
    assert read(b'{"tokens": 5}', Expect) == Expect(tokens=5.0, for_seconds=1.0)


@pytest.mark.parametrize(
    ("kind", "body", "named"),
    [
        (Acquire, b'{"tokens": -1}', "$.tokens"),
        (Acquire, b'{"tokens": "many"}', "$.tokens"),
        (Acquire, b'{"tokens": 1e300}', "$.tokens"),
        (Acquire, b'{"wait_seconds": -1}', "$.wait_seconds"),
        (Acquire, b'{"urgency": 9}', "$.urgency"),
        (Acquire, b'{"token": 1}', "token"),
        (Acquire, b"not json", "malformed"),
        (Acquire, b'{"policy": "\xff"}', "utf-8"),
        (Expect, b"{}", "tokens"),
        (Expect, b'{"tokens": 1, "for_seconds": 0}', "$.for_seconds"),
    ],
)
def test_a_wrong_field_is_named(kind: type[Acquire] | type[Expect], body: bytes, named: str) -> None:
    with pytest.raises(ValueError, match="the body can't be read: ") as refused:
        read(body, kind)

    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("expect", "seconds"),
    [
        (Expect(tokens=1.0), 0.0),
        (Expect(tokens=1.0, after_seconds=30.0), 30.0),
        (Expect(tokens=1.0, at="2026-01-01T12:05:00Z"), 300.0),
        (Expect(tokens=1.0, at="2026-01-01T14:05:00+02:00"), 300.0),
        (Expect(tokens=1.0, at="2026-01-01T11:59:50Z", for_seconds=60.0), 0.0),
    ],
)
def test_declared_work_begins_at_a_moment_or_after_a_while(expect: Expect, seconds: float) -> None:
    assert seconds_ahead(expect, NOON) == seconds


@pytest.mark.parametrize(
    ("expect", "sentence"),
    [
        (Expect(tokens=1.0, at="noon"), "at is 'noon'; it is no ISO 8601 time"),
        (Expect(tokens=1.0, at="2026-01-01T12:00:00"), "it needs an offset"),
        (Expect(tokens=1.0, at="2025-01-01T12:00:00Z"), "that work is over already"),
        (Expect(tokens=1.0, at="2026-01-01T12:00:00Z", after_seconds=1.0), "give one of them"),
    ],
)
def test_a_moment_that_makes_no_sense_is_refused(expect: Expect, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        seconds_ahead(expect, NOON)
