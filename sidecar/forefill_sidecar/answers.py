"""Responses the sidecar gives itself. Pure."""

from functools import lru_cache
from math import ceil, floor

import msgspec

from forefill_sidecar.line import Refusal

REASONS = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    417: "Expectation Failed",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}
_QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
_SENTENCES = {
    "queue_full": "No tokens are left and the queue is full.",
    "waited_too_long": "No tokens came within the time a request may wait.",
    "denied": "The lease of this pod ended and its policy denies requests without one.",
}


def answer(
    status: int, body: bytes, content_type: str, is_last: bool, fields: tuple[str, ...] = (), is_head: bool = False
) -> bytes:
    """A whole response. `is_last` announces that the connection closes after it."""
    lines = [
        f"HTTP/1.1 {status} {REASONS[status]}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        *fields,
    ]
    if is_last:
        lines.append("Connection: close")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode()
    return head if is_head else head + body


def problem(
    status: int, detail: str, is_last: bool, fields: tuple[str, ...] = (), is_head: bool = False, **members: object
) -> bytes:
    """A response with a problem document (RFC 9457) that says what is wrong."""
    document = {"title": REASONS[status], "status": status, "detail": detail, **members}
    body = msgspec.json.encode(document) + b"\n"
    return answer(status, body, "application/problem+json", is_last, fields, is_head)


def refusal(
    refused: Refusal, policy: str, fill_rate: float, burst: float, tokens: float, is_last: bool, is_head: bool = False
) -> bytes:
    """429 with Retry-After and the fields of draft-ietf-httpapi-ratelimit-headers-10.

    The quota is the burst, its window the seconds in which the fill rate earns one burst.
    """
    milliseconds = ceil(refused.retry_after_seconds * 1000.0)
    return _refusal(refused.reason, milliseconds, policy, fill_rate, burst, floor(tokens), is_last, is_head)


# Whoever is refused thousands of times a second gets the same answer again within a millisecond.
@lru_cache(64)
def _refusal(
    reason: str,
    wait_milliseconds: int,
    policy: str,
    fill_rate: float,
    burst: float,
    tokens: int,
    is_last: bool,
    is_head: bool,
) -> bytes:
    wait_seconds = max(1, ceil(wait_milliseconds / 1000))
    return problem(
        429,
        _SENTENCES[reason],
        is_last,
        (f"Retry-After: {wait_seconds}", *_rate_limit_fields(policy, fill_rate, burst, tokens, wait_seconds)),
        is_head,
        type=_QUOTA_EXCEEDED,
        policy=policy,
        reason=reason,
        retry_after_seconds=wait_milliseconds / 1000,
        **{"violated-policies": [policy]},
    )


def _rate_limit_fields(policy: str, fill_rate: float, burst: float, tokens: int, wait_seconds: int) -> tuple[str, str]:
    window = f";w={max(1, ceil(burst / fill_rate))}" if fill_rate > 0.0 else ""
    remaining = max(0, tokens)
    return (
        f'RateLimit-Policy: "{policy}";q={floor(burst)}{window}',
        f'RateLimit: "{policy}";r={remaining};t={wait_seconds}',
    )
