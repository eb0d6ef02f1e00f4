"""Heads of HTTP/1.1 messages, read to the letter of RFC 9112. Pure.

One grammar decides what a head is, and what doesn't match it is refused: two parsers that read one message differently
are what request smuggling lives from. Section numbers are RFC 9112's unless RFC 9110 is named.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from forefill_sidecar.proxy.fields import BadHead, Hop, expects_continue, keeps_alive, options_of, sort

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_TARGET_BYTES: Final = 16 * 1024

# Bounds what is remembered to about 1 MB a direction.
KNOWN_HEADS: Final = 256
KNOWN_HEAD_BYTES: Final = 2048

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# §5: a name, a colon straight after it, text without control characters, CRLF. So no folding, no bare LF, no NUL.
FIELD_LINES: Final = rb"(?:" + TOKEN + rb":[\t \x21-\x7e\x80-\xff]*\r\n)*"
_REQUEST: Final = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])\r\n(" + FIELD_LINES + rb")\r\n")
# §4 asks for a space after the status even without a reason; servers that leave it out can't be misread.
_RESPONSE: Final = re.compile(
    rb"HTTP/([0-9])\.([0-9]) ([1-9][0-9]{2})( [\t \x21-\x7e\x80-\xff]*)?\r\n(" + FIELD_LINES + rb")\r\n"
)
_BARE_LINE_FEED: Final = re.compile(rb"(?<!\r)\n")
_HOST: Final = re.compile(rb"(?:[0-9A-Za-z._~!$&'()*+,;=%\-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE: Final = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?#@]+)([/?][^#]*)?")


@dataclass(slots=True)
class RequestHead:
    """A request's head. `fields` holds (lower-case name, line as sent) of what may be handed on; see Hop for `asks`.

    What is made from a head that `is_short` may be kept with it.
    """

    method: bytes
    target: bytes
    minor: int
    host: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    content_length: int | None
    is_chunked: bool
    keeps_alive: bool
    expects_continue: bool
    upgrade: bytes
    accepts_trailers: bool
    asks: bool = False
    is_short: bool = True

    # Heads are shared between requests and never changed, so one is known by its identity.
    __hash__ = object.__hash__

    def field(self, name: bytes) -> bytes | None:
        """The value of the first field of that lower-case name."""
        return _value(self.fields, name)


@dataclass(slots=True)
class ResponseHead:
    """A response's head, as RequestHead. `keeps_alive` says whether the upstream will take another request."""

    status: int
    reason: bytes
    minor: int
    fields: tuple[tuple[bytes, bytes], ...]
    content_length: int | None
    is_chunked: bool
    keeps_alive: bool
    upgrade: bytes
    idle_seconds: int | None
    is_short: bool = True

    __hash__ = object.__hash__

    def field(self, name: bytes) -> bytes | None:
        """The value of the first field of that lower-case name."""
        return _value(self.fields, name)


def _value(fields: tuple[tuple[bytes, bytes], ...], name: bytes) -> bytes | None:
    for key, line in fields:
        if key == name:
            return line[len(key) + 1 :].strip(b" \t")
    return None


def find_end(buffer: bytes) -> int:
    """Length of the head at the start of `buffer`, 0 while it is incomplete. Raises BadHead if it can't become one."""
    end = buffer.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES) + 4
    if end >= 4:
        return end
    if len(buffer) >= MAX_HEAD_BYTES:
        raise BadHead(431, f"the head is longer than {MAX_HEAD_BYTES} bytes")
    # Whoever ends lines with a bare LF would wait for ever for an answer to a head that never ends (§2.2).
    if _BARE_LINE_FEED.search(buffer):
        raise BadHead(400, "a line ends in a bare line feed")
    return 0


def parse_request(head: bytes) -> RequestHead:
    """Raises BadHead with the status to answer."""
    return _known_request(head) if len(head) <= KNOWN_HEAD_BYTES else _read_request(head)


def parse_response(head: bytes) -> ResponseHead:
    """Raises BadHead with status 502."""
    return _known_response(head) if len(head) <= KNOWN_HEAD_BYTES else _read_response(head)


def _read_request(head: bytes) -> RequestHead:
    match = _REQUEST.fullmatch(head)
    if match is None:
        raise BadHead(400, _what_is_wrong(head))
    method, target, major, minor_digit, lines = match.groups()
    if major != b"1":
        raise BadHead(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
    # §2.3: a later minor version is read as the highest one known.
    minor = 0 if minor_digit == b"0" else 1
    hop = Hop()
    fields = sort(lines, hop, 431)
    content_length, is_chunked = _request_framing(hop, minor)
    target, host = _route(method, target, hop.host, minor)
    options = options_of(hop, fields) if hop.connection else ()
    return RequestHead(
        method=method,
        target=target,
        minor=minor,
        host=host,
        fields=tuple(fields),
        content_length=content_length,
        is_chunked=is_chunked,
        keeps_alive=keeps_alive(options, minor),
        expects_continue=bool(hop.expect) and expects_continue(hop.expect) and minor == 1,
        upgrade=hop.upgrade.lower() if b"upgrade" in options and minor == 1 else b"",
        accepts_trailers=b"trailers" in hop.te.lower(),
        asks=hop.asks,
        is_short=len(head) <= KNOWN_HEAD_BYTES,
    )


def _read_response(head: bytes) -> ResponseHead:
    match = _RESPONSE.fullmatch(head)
    if match is None:
        raise BadHead(502, _what_is_wrong(head))
    major, minor_digit, status_digits, reason, lines = match.groups()
    if major != b"1":
        raise BadHead(502, "the version isn't HTTP/1")
    minor, status = 0 if minor_digit == b"0" else 1, int(status_digits)
    hop = Hop()
    try:
        fields = sort(lines, hop, 502)
        content_length, is_chunked = _response_framing(hop, minor, status)
        options = options_of(hop, fields) if hop.connection else ()
    except BadHead as bad:
        raise BadHead(502, bad.sentence) from None
    return ResponseHead(
        status=status,
        reason=reason or b" ",
        minor=minor,
        fields=tuple(fields),
        content_length=content_length,
        is_chunked=is_chunked,
        keeps_alive=keeps_alive(options, minor),
        upgrade=hop.upgrade.lower() if b"upgrade" in options else b"",
        idle_seconds=_idle_seconds(hop.keep_alive) if hop.keep_alive else None,
        is_short=len(head) <= KNOWN_HEAD_BYTES,
    )


# Clients that poll, and servers within one second, send the same heads again and again; the same bytes mean the same.
_known_request = lru_cache(KNOWN_HEADS)(_read_request)
_known_response = lru_cache(KNOWN_HEADS)(_read_response)


def _request_framing(hop: Hop, minor: int) -> tuple[int | None, bool]:
    coding = hop.transfer_encoding
    if coding is None:
        return hop.content_length, False
    if hop.content_length is not None:
        raise BadHead(400, "Content-Length and Transfer-Encoding are both there")
    if minor == 0:
        raise BadHead(400, "HTTP/1.0 has no Transfer-Encoding")
    codings = [each.strip(b" \t") for each in coding.lower().split(b",")]
    if codings == [b"chunked"]:
        return None, True
    if codings[-1] == b"chunked" and codings.count(b"chunked") == 1 and b"" not in codings:
        raise BadHead(501, "the only transfer coding understood here is chunked")
    raise BadHead(400, "chunked isn't the last transfer coding, or not the only one of its kind")


def _response_framing(hop: Hop, minor: int, status: int) -> tuple[int | None, bool]:
    coding = hop.transfer_encoding
    if coding is None:
        return hop.content_length, False
    if hop.content_length is not None:
        raise BadHead(502, "Content-Length and Transfer-Encoding are both there")
    if minor == 0 or status < 200 or status == 204:
        raise BadHead(502, "Transfer-Encoding is there where none may be")
    if coding.lower() != b"chunked":
        raise BadHead(502, "the only transfer coding understood here is chunked")
    return None, True


def _route(method: bytes, target: bytes, host: bytes | None, minor: int) -> tuple[bytes, bytes]:
    """Origin-form target and host (§3.2)."""
    if len(target) > MAX_TARGET_BYTES:
        raise BadHead(414, f"the target is longer than {MAX_TARGET_BYTES} bytes")
    if host is None:
        if minor == 1:
            raise BadHead(400, "Host is missing")
        host = b""
    if not _HOST.fullmatch(host):
        raise BadHead(400, "Host is no host")
    if target.startswith(b"/") and b"#" not in target:
        return target, host
    if method == b"CONNECT":
        raise BadHead(501, "CONNECT isn't served here")
    if target == b"*" and method == b"OPTIONS":
        return target, host
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or not _HOST.fullmatch(absolute[1]):
        raise BadHead(400, "the target is neither a path nor a URL")
    path = absolute[2] or b"/"
    return (path if path.startswith(b"/") else b"/" + path), absolute[1]


def _idle_seconds(keep_alive: bytes) -> int | None:
    found = re.search(rb"timeout=([0-9]{1,6})", keep_alive, re.IGNORECASE)
    return int(found[1]) if found else None


def _what_is_wrong(head: bytes) -> str:
    """A sentence for the log and the answer; the head did not match the grammar."""
    lines = head.split(b"\r\n")
    if b"\n" in b"".join(lines):
        return "a line ends in a bare line feed"
    if b"\r" in b"".join(lines):
        return "a bare carriage return is inside a line"
    if b"\0" in head:
        return "a NUL byte is in the head"
    for line in lines[1:-2]:
        if line[:1] in (b" ", b"\t"):
            return "a field is folded over several lines"
        name, colon, _ = line.partition(b":")
        if not colon or not re.fullmatch(TOKEN, name):
            return "a field's name is no token followed by a colon"
    return "the first line or a field's text breaks the grammar"
