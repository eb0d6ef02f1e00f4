"""Heads made ready to be sent on. Clients that poll, and servers within one second, send the same bytes again and
again, and the same bytes mean the same; only heads that passed the grammar are remembered.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeVar

from msgspec import Struct

from forefill_sidecar.cost import CostRule, Price
from forefill_sidecar.proxy import fields, rewrite, wishes
from forefill_sidecar.proxy.address import Address
from forefill_sidecar.proxy.head import RequestHead, ResponseHead, parse_request, parse_response
from forefill_sidecar.proxy.wishes import Wishes

_T = TypeVar("_T")

# Bounds what is remembered to about 1 MB a direction.
KNOWN_HEADS: Final = 256
KNOWN_HEAD_BYTES: Final = 2048
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
    """A reader of heads for that upstream under that rule; it raises BadHead with the status to answer."""

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

    return _remembering(read)


def price(rule: CostRule, head: RequestHead) -> Price:
    """What a request with this head costs at this moment."""
    lines = dict(fields.pairs(head.lines)) if rule.header else {}
    return rule.price(head.method, head.target, lines, head.content_length or 0)


def _read_response(raw: bytes) -> Response:
    head = parse_response(raw)
    wire = rewrite.response(head, 1, is_last=False, is_dechunked=False)
    return Response(head, wire, wire == raw)


def _remembering(read: Callable[[bytes], _T]) -> Callable[[bytes], _T]:
    known = lru_cache(KNOWN_HEADS)(read)

    def look(raw: bytes, limit: int = KNOWN_HEAD_BYTES) -> _T:
        return known(raw) if len(raw) <= limit else read(raw)

    return look


# Raises BadHead with status 502.
read_response: Final = _remembering(_read_response)
