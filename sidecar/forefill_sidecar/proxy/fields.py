"""The field lines of a head: those that mean one connection are read, the others are handed on as they came. Pure."""

import re
from collections.abc import Callable
from itertools import groupby
from typing import Final

MAX_FIELDS: Final = 128
# Stays below 2^63, so that no peer reads another number from it.
MAX_CONTENT_LENGTH_DIGITS: Final = 18

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# RFC 9112 §5: a name, a colon straight after it, text without control characters, CRLF. So no folding, no bare LF.
FIELD_LINES: Final = rb"(?:" + TOKEN + rb":[^\0-\x08\x0a-\x1f\x7f]*+\r\n)*+"

# Fields that mean one connection, not the message (RFC 9110 §7.6.1): these are dropped unread, the others read below.
DROPPED: Final = (b"proxy-connection", b"proxy-authorization", b"proxy-authenticate")
# Fields by which a request asks the gate for more than its cost; `wishes` knows what they mean.
ASKING: Final = (
    b"priority",
    b"prefer",
    b"forefill-retry",
    b"x-stainless-retry-count",
    b"x-envoy-attempt-count",
    b"grpc-previous-rpc-attempts",
)
# Fields that frame or route a message can't be made hop-by-hop by naming them in Connection.
_NEVER_NAMED: Final = frozenset((b"content-length", b"host", b"transfer-encoding"))


class BadHead(ValueError):
    """The head breaks the grammar. `status` is what a server answers."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class Hop:
    """What the hop-by-hop and framing fields of one head say. `asks` tells of fields that the gate may want to read."""

    connection = b""
    content_length: int | None = None
    expect = b""
    host: bytes | None = None
    keep_alive = b""
    te = b""
    transfer_encoding: bytes | None = None
    upgrade = b""
    asks = False


def read(head: bytes, start: int, hop: Hop, keeps_length: bool, too_many: int) -> bytes:
    """Read the lines of `head` from `start` on, which match FIELD_LINES, into `hop`; answers the lines to hand on.

    Content-Length is among those only with `keeps_length`. Raises BadHead, with status `too_many` for too many lines.
    """
    if head.count(b"\n", start) > MAX_FIELDS + 1:
        raise BadHead(too_many, f"the head has more than {MAX_FIELDS} fields")
    kept, end = b"", len(head) - 2
    # The line before ends in the LF that each match begins with.
    for match in _SPECIAL.finditer(head, start - 1):
        place = match.lastindex or 0
        reader = _IN_ORDER[place]
        reader(hop, match[place].rstrip(b" \t"))
        if reader is not _read_asking and not (keeps_length and reader is _read_content_length):
            first, last = match.span()
            kept += head[start : first + 1]
            start = last + 1
    return kept + head[start:end]


def pairs(lines: bytes) -> list[tuple[bytes, bytes]]:
    """(lower-case name, line) of each of these lines."""
    return [(line[: line.find(b":")].lower(), line) for line in lines.split(b"\r\n")[:-1]]


def value(lines: bytes, name: bytes) -> bytes | None:
    """The value of the first field of that lower-case name."""
    for key, line in pairs(lines):
        if key == name:
            return line[len(key) + 1 :].strip(b" \t")
    return None


def without(lines: bytes, names: frozenset[bytes]) -> bytes:
    """The lines whose lower-case name is none of these."""
    return b"".join(line + b"\r\n" for name, line in pairs(lines) if name not in names)


def _read_nothing(hop: Hop, value: bytes) -> None:
    """A field that a proxy drops unread."""


def _read_asking(hop: Hop, value: bytes) -> None:
    hop.asks = True


def _read_content_length(hop: Hop, value: bytes) -> None:
    if hop.content_length is not None:
        raise BadHead(400, "Content-Length is there twice")
    if not value.isdigit() or len(value) > MAX_CONTENT_LENGTH_DIGITS:
        raise BadHead(400, "Content-Length is no decimal number in range")
    hop.content_length = int(value)


def _read_transfer_encoding(hop: Hop, value: bytes) -> None:
    if hop.transfer_encoding is not None:
        raise BadHead(400, "Transfer-Encoding is there twice")
    hop.transfer_encoding = value


def _read_host(hop: Hop, value: bytes) -> None:
    if hop.host is not None:
        raise BadHead(400, "Host is there twice")
    hop.host = value


def _read_connection(hop: Hop, value: bytes) -> None:
    hop.connection += b"," + value


def _read_upgrade(hop: Hop, value: bytes) -> None:
    hop.upgrade += b"," + value if hop.upgrade else value


def _read_expect(hop: Hop, value: bytes) -> None:
    hop.expect += b"," + value if hop.expect else value


def _read_te(hop: Hop, value: bytes) -> None:
    hop.te += b"," + value


def _read_keep_alive(hop: Hop, value: bytes) -> None:
    hop.keep_alive += b"," + value


_READERS: Final[dict[bytes, Callable[[Hop, bytes], None]]] = {
    b"connection": _read_connection,
    b"content-length": _read_content_length,
    b"expect": _read_expect,
    b"host": _read_host,
    b"keep-alive": _read_keep_alive,
    b"te": _read_te,
    b"transfer-encoding": _read_transfer_encoding,
    b"upgrade": _read_upgrade,
    **dict.fromkeys(DROPPED, _read_nothing),
    **dict.fromkeys(ASKING, _read_asking),
}


# In order of their first letter, which names share below so that most lines fail at once; a match's group is the place.
_SPECIAL_NAMES: Final = sorted(_READERS, key=lambda name: name[0])
_IN_ORDER: Final = (_read_nothing, *(_READERS[name] for name in _SPECIAL_NAMES))


def _special() -> "re.Pattern[bytes]":
    """Matches a whole line that has a reader, from the LF before it to its CR; the group has its value."""
    branches = []
    for first, names in groupby(_SPECIAL_NAMES, key=lambda name: name[:1]):
        rest = b"|".join(re.escape(name[1:]) + rb":[ \t]*+([^\r]*+)" for name in names)
        branches.append(first + b"(?:" + rest + b")")
    firsts = bytes({name[0] for name in _SPECIAL_NAMES})
    likely = rb"\n(?=[" + firsts + firsts.upper() + rb"])"
    return re.compile(likely + rb"(?:" + b"|".join(branches) + rb")\r(?=\n)", re.IGNORECASE)


_SPECIAL: Final = _special()


def options_of(hop: Hop) -> tuple[bytes, ...]:
    """Connection options in lower case. Raises BadHead when one names a field that frames or routes the message."""
    options = tuple(option.strip(b" \t") for option in hop.connection.lower().split(b",") if option.strip(b" \t"))
    if not _NEVER_NAMED.isdisjoint(options):
        raise BadHead(400, "Connection names a field that frames or routes the message")
    return options


def named_by(options: tuple[bytes, ...]) -> frozenset[bytes]:
    """The fields that these options make hop-by-hop (RFC 9110 §7.6.1)."""
    return frozenset(options) - {b"close", b"keep-alive", b"upgrade", b"te"}


def keeps_alive(options: tuple[bytes, ...], minor: int) -> bool:
    return b"close" not in options and (minor == 1 or b"keep-alive" in options)


def expects_continue(expect: bytes) -> bool:
    if expect.lower() != b"100-continue":
        raise BadHead(417, "the only expectation understood here is 100-continue")
    return True
