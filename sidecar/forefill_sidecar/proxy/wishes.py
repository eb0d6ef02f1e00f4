"""What the fields of a request ask of the gate beyond its cost. Pure.

Urgency is RFC 9218's `Priority: u=0..7`, the patience RFC 7240's `Prefer: wait=SECONDS`. A request is marked as another
try of an earlier one by `Forefill-Retry` (any value but 0), or by what client libraries send of themselves:
`X-Stainless-Retry-Count` (the OpenAI and Anthropic SDKs), `X-Envoy-Attempt-Count` and `Grpc-Previous-Rpc-Attempts`.
A client that marks first tries too only lowers its own measured demand.
"""

import re
from math import inf
from typing import Final, NamedTuple

from forefill_sidecar.line import DEFAULT_URGENCY

_URGENCY: Final = re.compile(rb"(?:^|,)[ \t]*u=([0-7])[ \t]*(?:[,;]|$)")
_WAIT: Final = re.compile(rb"(?:^|[,;])[ \t]*wait[ \t]*=[ \t]*([0-9]{1,6})[ \t]*(?:[,;]|$)", re.IGNORECASE)
# Field name to the number that a first try carries.
_RETRY_COUNTS: Final = (
    (b"forefill-retry", 0),
    (b"x-stainless-retry-count", 0),
    (b"x-envoy-attempt-count", 1),
    (b"grpc-previous-rpc-attempts", 0),
)


class Wishes(NamedTuple):
    """`max_wait_seconds` can only shorten the policy's own bound."""

    max_wait_seconds: float = inf
    urgency: int = DEFAULT_URGENCY
    is_marked_retry: bool = False


NONE: Final = Wishes()


def read(fields: dict[bytes, bytes]) -> Wishes:
    """`fields` maps lower-case names to lines as sent. What breaks a field's grammar counts as not there."""
    urgency = _URGENCY.search(_value(fields, b"priority"))
    wait = _WAIT.search(_value(fields, b"prefer"))
    return Wishes(
        max_wait_seconds=float(wait[1]) if wait else inf,
        urgency=int(urgency[1]) if urgency else DEFAULT_URGENCY,
        is_marked_retry=any(_counts_more(_value(fields, name), first) for name, first in _RETRY_COUNTS),
    )


def _value(fields: dict[bytes, bytes], name: bytes) -> bytes:
    return fields.get(name, b"")[len(name) + 1 :].strip(b" \t")


def _counts_more(value: bytes, first: int) -> bool:
    return value.isdigit() and len(value) < 10 and int(value) > first
