"""The heads a proxy sends on, made from those it received (RFC 9110 §7.6). Pure.

Host names the upstream, since paid APIs route by it. X-Forwarded-* is passed on as it came and added to only for peers
outside the pod: to an upstream that trusts the field, 127.0.0.1 would mean itself. Via is left out, because common
servers stop compressing for requests that carry it.
"""

from typing import Final

from forefill_sidecar.proxy import fields
from forefill_sidecar.proxy.address import Address
from forefill_sidecar.proxy.head import RequestHead, ResponseHead

_LENGTH: Final = frozenset((b"content-length",))


def request(head: RequestHead, address: Address, peer: str | None) -> bytes:
    """The head for the upstream. `peer` is the client's address, or None for one on loopback."""
    base = b"" if head.target == b"*" else address.base_path
    lines = head.lines if peer is None else _forwarded(head, peer)
    more = b""
    if head.is_chunked:
        more = b"Transfer-Encoding: chunked\r\n"
    elif head.content_length is not None:
        more = b"Content-Length: %d\r\n" % head.content_length
    if head.expects_continue:
        more += b"Expect: 100-continue\r\n"
    if passes_upgrade(head):
        more += b"Connection: upgrade\r\nUpgrade: websocket\r\n"
    elif head.accepts_trailers:
        more += b"Connection: TE\r\nTE: trailers\r\n"
    return b"%b %b%b HTTP/1.1\r\nHost: %b\r\n%b%b\r\n" % (
        head.method,
        base,
        head.target,
        address.authority,
        lines,
        more,
    )


def passes_upgrade(head: RequestHead) -> bool:
    """Only WebSocket: after any other protocol (h2c above all) requests would pass uncounted."""
    return head.upgrade == b"websocket" and head.content_length is None and not head.is_chunked


def response(head: ResponseHead, client_minor: int, is_last: bool, is_dechunked: bool) -> bytes:
    """The head for the client. `is_last` announces that the connection closes after this response."""
    more = b"Transfer-Encoding: chunked\r\n" if head.is_chunked and not is_dechunked else b""
    # RFC 9110 §8.6: none may be in these.
    is_lengthless = head.content_length is not None and (head.status < 200 or head.status == 204)
    lines = fields.without(head.lines, _LENGTH) if is_lengthless else head.lines
    if head.status == 101:
        more += b"Connection: upgrade\r\nUpgrade: websocket\r\n"
    elif is_last:
        more += b"Connection: close\r\n"
    elif client_minor == 0:
        more += b"Connection: keep-alive\r\n"
    return b"HTTP/1.1 %d%b\r\n%b%b\r\n" % (head.status, head.reason, lines, more)


def _forwarded(head: RequestHead, peer: str) -> bytes:
    """The head's lines, with those that tell of the client added."""
    before = head.field(b"x-forwarded-for")
    chain = b"%b, %b" % (before, peer.encode()) if before else peer.encode()
    lines = fields.without(head.lines, frozenset((b"x-forwarded-for",))) + b"X-Forwarded-For: " + chain + b"\r\n"
    if head.field(b"x-forwarded-host") is None:
        lines += b"X-Forwarded-Host: " + head.host + b"\r\n"
    if head.field(b"x-forwarded-proto") is None:
        lines += b"X-Forwarded-Proto: http\r\n"
    return lines
