"""The heads a proxy sends on, made from those it received (RFC 9110 §7.6). Pure.

Host names the upstream, since paid APIs route by it. X-Forwarded-* is passed on as it came and added to only for peers
outside the pod: to an upstream that trusts the field, 127.0.0.1 would mean itself. Via is left out, because common
servers stop compressing for requests that carry it.
"""

from functools import lru_cache

from forefill_sidecar.proxy.address import Address
from forefill_sidecar.proxy.head import KNOWN_HEADS, RequestHead, ResponseHead


def request(head: RequestHead, address: Address, peer: str | None) -> bytes:
    """The head for the upstream. `peer` is the client's address, or None for one on loopback."""
    return (_known_request if head.is_short else _write_request)(head, address, peer)


def response(head: ResponseHead, client_minor: int, is_last: bool, is_dechunked: bool) -> bytes:
    """The head for the client. `is_last` announces that the connection closes after this response."""
    return (_known_response if head.is_short else _write_response)(head, client_minor, is_last, is_dechunked)


def _write_request(head: RequestHead, address: Address, peer: str | None) -> bytes:
    target = head.target if head.target == b"*" else address.base_path + head.target
    lines = [b"%b %b HTTP/1.1\r\nHost: %b" % (head.method, target, address.authority)]
    fields = head.fields if peer is None else _forwarded(head, peer)
    lines += [line for _, line in fields]
    if head.is_chunked:
        lines.append(b"Transfer-Encoding: chunked")
    elif head.content_length is not None:
        lines.append(b"Content-Length: %d" % head.content_length)
    if head.expects_continue:
        lines.append(b"Expect: 100-continue")
    if passes_upgrade(head):
        lines.append(b"Connection: upgrade\r\nUpgrade: websocket")
    elif head.accepts_trailers:
        lines.append(b"Connection: TE\r\nTE: trailers")
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def passes_upgrade(head: RequestHead) -> bool:
    """Only WebSocket: after any other protocol (h2c above all) requests would pass uncounted."""
    return head.upgrade == b"websocket" and head.content_length is None and not head.is_chunked


def _write_response(head: ResponseHead, client_minor: int, is_last: bool, is_dechunked: bool) -> bytes:
    lines = [b"HTTP/1.1 %d%b" % (head.status, head.reason)]
    lines += [line for _, line in head.fields]
    if head.is_chunked and not is_dechunked:
        lines.append(b"Transfer-Encoding: chunked")
    elif head.content_length is not None and head.status != 204:
        lines.append(b"Content-Length: %d" % head.content_length)
    if head.status == 101:
        lines.append(b"Connection: upgrade\r\nUpgrade: websocket")
    elif is_last:
        lines.append(b"Connection: close")
    elif client_minor == 0:
        lines.append(b"Connection: keep-alive")
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


_known_request = lru_cache(KNOWN_HEADS)(_write_request)
_known_response = lru_cache(KNOWN_HEADS)(_write_response)


def _forwarded(head: RequestHead, peer: str) -> list[tuple[bytes, bytes]]:
    """The head's fields, with those that tell of the client added."""
    before = head.field(b"x-forwarded-for")
    chain = b"%b, %b" % (before, peer.encode()) if before else peer.encode()
    fields = [field for field in head.fields if field[0] != b"x-forwarded-for"]
    fields.append((b"x-forwarded-for", b"X-Forwarded-For: " + chain))
    if head.field(b"x-forwarded-host") is None:
        fields.append((b"x-forwarded-host", b"X-Forwarded-Host: " + head.host))
    if head.field(b"x-forwarded-proto") is None:
        fields.append((b"x-forwarded-proto", b"X-Forwarded-Proto: http"))
    return fields
