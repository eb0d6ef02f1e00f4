"""Heads of HTTP/1.1 messages, read to the letter of RFC 9112. Pure.

One grammar decides what a head is, and what doesn't match it is refused: two parsers that read one message differently
are what request smuggling lives from. Section numbers are RFC 9112's unless RFC 9110 is named.
"""

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

from forefill_sidecar.proxy import fields
from forefill_sidecar.proxy.fields import FIELD_LINES, TOKEN, BadHead, Hop

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_TARGET_BYTES: Final = 16 * 1024
# RFC 1035 §2.3.4 ends names at 255; a colon and a port may follow.
MAX_HOST_BYTES: Final = 261

_REQUEST: Final = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e]++) HTTP/([0-9]\.[0-9])\r\n" + FIELD_LINES + rb"\r\n")
# §4 asks for a space after the status even without a reason; servers that leave it out can't be misread.
_RESPONSE: Final = re.compile(
    rb"HTTP/([0-9])\.([0-9]) ([1-9][0-9]{2})( [\t \x21-\x7e\x80-\xff]*+)?\r\n" + FIELD_LINES + rb"\r\n"
)
_BARE_LINE_FEED: Final = re.compile(rb"(?<!\r)\n")
_HOST: Final = re.compile(rb"(?:[0-9A-Za-z._~!$&'()*+,;=%\-]*+|\[[0-9A-Fa-f:.]++\])(?::[0-9]{0,5}+)?")
_ABSOLUTE: Final = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?#@]+)([/?][^#]*)?")
_ONE: Final = 0x31
_NO_OPTIONS: Final[tuple[bytes, ...]] = ()


class RequestHead(Struct, gc=False):
    """A request's head. `lines` are the field lines that may be handed on, each with its CRLF; see Hop for `asks`."""

    method: bytes
    target: bytes
    minor: int
    host: bytes
    lines: bytes
    content_length: int | None
    is_chunked: bool
    keeps_alive: bool
    expects_continue: bool = False
    upgrade: bytes = b""
    accepts_trailers: bool = False
    asks: bool = False

    def field(self, name: bytes) -> bytes | None:
        """The value of the first field of that lower-case name."""
        return fields.value(self.lines, name)


class ResponseHead(Struct, gc=False):
    """A response's head, as RequestHead, but `lines` have its Content-Length. `keeps_alive` is about the upstream."""

    status: int
    reason: bytes
    minor: int
    lines: bytes
    content_length: int | None
    is_chunked: bool
    keeps_alive: bool
    upgrade: bytes = b""
    idle_seconds: int | None = None

    def field(self, name: bytes) -> bytes | None:
        """The value of the first field of that lower-case name."""
        return fields.value(self.lines, name)


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


def after_empty_lines(buffer: bytes) -> bytes:
    """Empty lines before a request are ignored (§2.2)."""
    while buffer.startswith(b"\r\n"):
        buffer = buffer[2:]
    return buffer


def parse_request(head: bytes) -> RequestHead:
    """Raises BadHead with the status to answer."""
    match = _REQUEST.fullmatch(head)
    if match is None:
        raise BadHead(400, _what_is_wrong(head))
    method, target, version = match.groups()
    if version[0] != _ONE:
        raise BadHead(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
    # §2.3: a later minor version is read as the highest one known.
    minor = 0 if version == b"1.0" else 1
    hop = Hop()
    lines = fields.read(head, match.end(3) + 2, hop, False, 431)
    options = _NO_OPTIONS
    if hop.connection:
        options = fields.options_of(hop)
        if named := fields.named_by(options):
            lines = fields.without(lines, named)
    content_length, is_chunked = hop.content_length, False
    if hop.transfer_encoding is not None:
        is_chunked = _is_chunked_request(hop, minor)
    target, host = _route(method, target, hop.host, minor)
    return RequestHead(
        method,
        target,
        minor,
        host,
        lines,
        content_length,
        is_chunked,
        fields.keeps_alive(options, minor) if options or not minor else True,
        bool(hop.expect) and fields.expects_continue(hop.expect) and minor == 1,
        hop.upgrade.lower() if hop.upgrade and b"upgrade" in options and minor == 1 else b"",
        bool(hop.te) and b"trailers" in hop.te.lower(),
        hop.asks,
    )


def parse_response(head: bytes) -> ResponseHead:
    """Raises BadHead with status 502."""
    match = _RESPONSE.fullmatch(head)
    if match is None:
        raise BadHead(502, _what_is_wrong(head))
    major, minor_digit, status_digits, reason = match.groups()
    if major != b"1":
        raise BadHead(502, "the version isn't HTTP/1")
    minor, status = 0 if minor_digit == b"0" else 1, int(status_digits)
    hop = Hop()
    try:
        lines = fields.read(head, head.index(b"\n") + 1, hop, True, 502)
        options = fields.options_of(hop) if hop.connection else _NO_OPTIONS
    except BadHead as bad:
        raise BadHead(502, bad.sentence) from None
    if options and (named := fields.named_by(options)):
        lines = fields.without(lines, named)
    return ResponseHead(
        status,
        reason or b" ",
        minor,
        lines,
        hop.content_length,
        hop.transfer_encoding is not None and _is_chunked_response(hop, minor, status),
        fields.keeps_alive(options, minor),
        hop.upgrade.lower() if hop.upgrade and b"upgrade" in options else b"",
        _idle_seconds(hop.keep_alive) if hop.keep_alive else None,
    )


def _is_chunked_request(hop: Hop, minor: int) -> bool:
    coding = hop.transfer_encoding or b""
    if hop.content_length is not None:
        raise BadHead(400, "Content-Length and Transfer-Encoding are both there")
    if minor == 0:
        raise BadHead(400, "HTTP/1.0 has no Transfer-Encoding")
    codings = [each.strip(b" \t") for each in coding.lower().split(b",")]
    if codings == [b"chunked"]:
        return True
    if codings[-1] == b"chunked" and codings.count(b"chunked") == 1 and b"" not in codings:
        raise BadHead(501, "the only transfer coding understood here is chunked")
    raise BadHead(400, "chunked isn't the last transfer coding, or not the only one of its kind")


def _is_chunked_response(hop: Hop, minor: int, status: int) -> bool:
    if hop.content_length is not None:
        raise BadHead(502, "Content-Length and Transfer-Encoding are both there")
    if minor == 0 or status < 200 or status == 204:
        raise BadHead(502, "Transfer-Encoding is there where none may be")
    if (hop.transfer_encoding or b"").lower() != b"chunked":
        raise BadHead(502, "the only transfer coding understood here is chunked")
    return True


def _is_host(host: bytes) -> bool:
    return len(host) <= MAX_HOST_BYTES and _matches_host(host)


@lru_cache(64)
def _matches_host(host: bytes) -> bool:
    return _HOST.fullmatch(host) is not None


def _route(method: bytes, target: bytes, host: bytes | None, minor: int) -> tuple[bytes, bytes]:
    """Origin-form target and host (§3.2)."""
    if len(target) > MAX_TARGET_BYTES:
        raise BadHead(414, f"the target is longer than {MAX_TARGET_BYTES} bytes")
    if host is None:
        if minor == 1:
            raise BadHead(400, "Host is missing")
        host = b""
    if not _is_host(host):
        raise BadHead(400, "Host is no host")
    if target[0] == 0x2F and b"#" not in target:
        return target, host
    if method == b"CONNECT":
        raise BadHead(501, "CONNECT isn't served here")
    if target == b"*" and method == b"OPTIONS":
        return target, host
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or not _is_host(absolute[1]):
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
