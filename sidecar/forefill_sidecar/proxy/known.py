"""Heads made ready to be sent on. Clients that poll, and servers within one second, send the same bytes again and
again, and the same bytes mean the same; only heads that passed the grammar are remembered.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from msgspec import Struct

from forefill_sidecar.cost import CostRule, Price
from forefill_sidecar.proxy import fields, rewrite, wishes
from forefill_sidecar.proxy.address import Address
from forefill_sidecar.proxy.head import RequestHead, ResponseHead, parse_request, parse_response
from forefill_sidecar.proxy.wishes import Wishes

# Bounds what is remembered to about 1 MB a direction.
KNOWN_HEADS: Final = 256
KNOWN_HEAD_BYTES: Final = 2048
# W3C Trace Context §3.2, in the two spellings that libraries use.
_TRACED: Final = b"raceparent: "
_TRACEPARENT: Final = re.compile(rb"\r\n([Tt]raceparent: [0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})(?=\r\n)")
# RFC 9110 §9.2.2. Only these may be sent a second time when a kept connection turns out to be closed.
_IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE"))


class Request(Struct, frozen=True, gc=False):
    """`wire` is the head as the upstream gets it from a client in the pod; `wishes` is None for one without any.

    One that `is_plain` has no body, and of its response's nothing but the length matters.
    """

    head: RequestHead
    wire: bytes
    price: Price
    wishes: Wishes | None
    has_body: bool
    may_repeat: bool
    is_plain: bool


class Response(Struct, frozen=True, gc=False):
    """`wire` is the head as a client of HTTP/1.1 gets it whose connection stays open; `is_same` as it came."""

    head: ResponseHead
    wire: bytes
    is_same: bool


def requests(address: Address, rule: CostRule) -> Callable[[bytes], Request]:
    """A reader of heads for that upstream under that rule; it raises BadHead with the status to answer.

    The heads of traced clients differ in one line alone. It is cut out, and the rest is a known head again.
    """

    def read(raw: bytes) -> Request:
        head = parse_request(raw)
        has_body = head.is_chunked or bool(head.content_length)
        return Request(
            head,
            rewrite.request(head, address, None),
            price(rule, head),
            wishes.read(dict(fields.pairs(head.lines))) if head.asks else None,
            has_body,
            head.method in _IDEMPOTENT,
            not has_body and head.method != b"HEAD" and not rule.pointer,
        )

    known = lru_cache(KNOWN_HEADS)(read)
    if rule.header == b"traceparent":
        return read

    def look(raw: bytes) -> Request:
        if len(raw) > KNOWN_HEAD_BYTES:
            return read(raw)
        at = raw.find(_TRACED) - 3
        line = _TRACEPARENT.match(raw, at) if at >= 0 else None
        if line is None:
            return known(raw)
        rest = raw[:at] + raw[line.end() :]
        # Fields of one name keep their order, and one that Connection names is no field to hand on.
        if b"traceparent" in rest.lower():
            return read(raw)
        return _with_line(known(rest), line[1] + b"\r\n")

    return look


def _with_line(request: Request, line: bytes) -> Request:
    """The same request with one more field line, before the others."""
    old, wire = request.head, request.wire
    head = RequestHead(
        old.method,
        old.target,
        old.minor,
        old.host,
        line + old.lines,
        old.content_length,
        old.is_chunked,
        old.keeps_alive,
        old.expects_continue,
        old.upgrade,
        old.accepts_trailers,
        old.asks,
    )
    # The request line and Host come first.
    start = wire.index(b"\n", wire.index(b"\n") + 1) + 1
    return Request(
        head,
        wire[:start] + line + wire[start:],
        request.price,
        request.wishes,
        request.has_body,
        request.may_repeat,
        request.is_plain,
    )


def price(rule: CostRule, head: RequestHead) -> Price:
    """What a request with this head costs at this moment."""
    lines = dict(fields.pairs(head.lines)) if rule.header else {}
    return rule.price(head.method, head.target, lines, head.content_length or 0)


def _read_response(raw: bytes) -> Response:
    head = parse_response(raw)
    wire = rewrite.response(head, 1, is_last=False, is_dechunked=False)
    return Response(head, wire, wire == raw)


_known_response = lru_cache(KNOWN_HEADS)(_read_response)


def read_response(raw: bytes) -> Response:
    """Raises BadHead with status 502."""
    return _known_response(raw) if len(raw) <= KNOWN_HEAD_BYTES else _read_response(raw)
