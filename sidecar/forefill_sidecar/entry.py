"""What is written down of one request, for the access log and for traces. Pure."""

import re
from typing import Final, Literal

from msgspec import Struct

# W3C Trace Context §3.2: version, trace id, parent id, flags. A later version may append more.
_TRACEPARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_SAMPLED: Final = 1

Outcome = Literal["passed", "refused", "failed", "aborted"]


class TraceParent(Struct, frozen=True, gc=False):
    """Who asks for a request to be traced; ids are lower-case hexadecimal."""

    trace_id: str
    parent_id: str
    is_sampled: bool


class Entry(Struct, gc=False):
    """One request. `time` is Unix seconds at its arrival; amounts are tokens, bytes and seconds.

    `route` is the template of the policy's that it matched, `path` its own without the query. `upstream_seconds` runs
    from the request's head to the response's. An `aborted` one lost its client, a `failed` one its upstream.
    """

    time: float
    policy: str
    method: str
    path: str
    route: str | None = None
    status: int | None = None
    outcome: Outcome = "passed"
    request_bytes: int = 0
    response_bytes: int = 0
    wait_seconds: float = 0.0
    upstream_seconds: float | None = None
    seconds: float = 0.0
    tokens: float = 0.0
    trace_id: str | None = None
    trace: TraceParent | None = None


def trace_parent(value: bytes | None) -> TraceParent | None:
    """The caller's span; None where the header is missing or breaks its grammar."""
    match = _TRACEPARENT.fullmatch(value) if value else None
    if match is None or match[1] == b"ff" or not match[2].strip(b"0") or not match[3].strip(b"0"):
        return None
    return TraceParent(match[2].decode(), match[3].decode(), bool(int(match[4], 16) & _SAMPLED))
