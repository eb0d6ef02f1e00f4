"""The documents that the local API reads. Pure: a wrong one is one sentence that names the field."""

from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from forefill_protocol.codec import UNREADABLE
from forefill_protocol.fields import Amount, Seconds

Read = TypeVar("Read", bound=Struct)


class Acquire(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /v1/acquire`. `policy` may be left out where the pod has one; `urgency` is RFC 9218's."""

    tokens: Amount = 1.0
    policy: str = ""
    wait_seconds: Seconds | None = None
    urgency: Annotated[int, Meta(ge=0, le=7)] = 3


class Expect(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /v1/expect`: `tokens` in all, from `at` (ISO 8601 with offset) or in `after_seconds`.

    Sent again under the same `id` it takes the place of what was said before; without one, when it says the same again.
    `by` names who declares: how much of a name's declarations came true says how far its next one counts.
    """

    tokens: Amount
    id: Annotated[str, Meta(max_length=128)] = ""
    by: Annotated[str, Meta(max_length=64)] = ""
    policy: str = ""
    after_seconds: Seconds | None = None
    at: str | None = None
    for_seconds: Annotated[float, Meta(gt=0.0, le=86400.0)] = 1.0


def read(body: bytes, kind: type[Read]) -> Read:
    """Raises ValueError with a sentence."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except UNREADABLE as error:
        raise ValueError(f"the body can't be read: {error}") from None


def seconds_ahead(expect: Expect, wall_now: float) -> float:
    """In how many seconds the declared work begins; `wall_now` is Unix time. Raises ValueError with a sentence."""
    if expect.at is None:
        return expect.after_seconds or 0.0
    if expect.after_seconds is not None:
        raise ValueError("at and after_seconds are both there; give one of them")
    try:
        moment = datetime.fromisoformat(expect.at)
    except ValueError:
        raise ValueError(f"at is {expect.at!r}; it is no ISO 8601 time") from None
    if moment.tzinfo is None:
        raise ValueError(f"at is {expect.at!r}; it needs an offset, as in 2026-01-31T08:00:00Z")
    ahead = moment.timestamp() - wall_now
    if ahead < -expect.for_seconds:
        raise ValueError(f"at is {expect.at!r}; that work is over already")
    return max(0.0, ahead)
