"""The fields of a head, sorted into those that mean one connection and those a proxy hands on. Pure."""

from collections.abc import Callable
from typing import Final

MAX_FIELDS: Final = 128
# Stays below 2^63, so that no peer reads another number from it.
MAX_CONTENT_LENGTH_DIGITS: Final = 18

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


# Most lines come again and again, so what was found out about one is kept: its name in lower case and its reader.
_KNOWN_LINES: Final = 1024
_KNOWN_LINE_BYTES: Final = 256
_known: dict[bytes, tuple[tuple[bytes, bytes], Callable[[Hop, bytes], None] | None]] = {}


def sort(lines: bytes, hop: Hop, too_many: int) -> list[tuple[bytes, bytes]]:
    """Read the hop-by-hop and framing fields of these lines into `hop`; answers (lower-case name, line) of the others.

    Raises BadHead, with status `too_many` when there are too many.
    """
    fields = []
    for line in lines.split(b"\r\n")[:-1]:
        field, reader = _known.get(line) or _look_at(line)
        if reader is None:
            fields.append(field)
        else:
            reader(hop, line[len(field[0]) + 1 :].strip(b" \t"))
            if reader is _read_asking:
                fields.append(field)
    if len(fields) > MAX_FIELDS:
        raise BadHead(too_many, f"the head has more than {MAX_FIELDS} fields")
    return fields


def _look_at(line: bytes) -> tuple[tuple[bytes, bytes], Callable[[Hop, bytes], None] | None]:
    name = line[: line.find(b":")].lower()
    found = (name, line), _READERS.get(name)
    if len(line) <= _KNOWN_LINE_BYTES:
        if len(_known) >= _KNOWN_LINES:
            _known.clear()
        _known[line] = found
    return found


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


def options_of(hop: Hop, fields: list[tuple[bytes, bytes]]) -> tuple[bytes, ...]:
    """Connection options in lower case; the fields they name are dropped (RFC 9110 §7.6.1)."""
    options = tuple(option.strip(b" \t") for option in hop.connection.lower().split(b",") if option.strip(b" \t"))
    named = set(options) - {b"close", b"keep-alive", b"upgrade", b"te"}
    if named & _NEVER_NAMED:
        raise BadHead(400, "Connection names a field that frames or routes the message")
    if named:
        fields[:] = [field for field in fields if field[0] not in named]
    return options


def keeps_alive(options: tuple[bytes, ...], minor: int) -> bool:
    return b"close" not in options and (minor == 1 or b"keep-alive" in options)


def expects_continue(expect: bytes) -> bool:
    if expect.lower() != b"100-continue":
        raise BadHead(417, "the only expectation understood here is 100-continue")
    return True
