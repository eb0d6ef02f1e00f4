"""The fields of a head, sorted into those that mean one connection and those a proxy hands on. Pure."""

from typing import Final

MAX_FIELDS: Final = 128
# Stays below 2^63, so that no peer reads another number from it.
MAX_CONTENT_LENGTH_DIGITS: Final = 18

# Fields that mean one connection, not the message (RFC 9110 §7.6.1); a proxy never hands them on.
HOP_BY_HOP: Final = frozenset(
    b"connection keep-alive proxy-connection te transfer-encoding upgrade "
    b"proxy-authorization proxy-authenticate".split()
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
    """What the hop-by-hop and framing fields of one head say."""

    __slots__ = ("connection", "content_length", "expect", "host", "keep_alive", "te", "transfer_encoding", "upgrade")

    def __init__(self) -> None:
        self.connection = b""
        self.content_length: int | None = None
        self.expect = b""
        self.host: bytes | None = None
        self.keep_alive = b""
        self.te = b""
        self.transfer_encoding: bytes | None = None
        self.upgrade = b""


def sort(lines: bytes, hop: Hop, too_many: int) -> list[tuple[bytes, bytes]]:
    fields = []
    for line in lines.split(b"\r\n"):
        name = line[: line.find(b":")].lower()
        reader = _READERS.get(name)
        if reader is not None:
            reader(hop, line[len(name) + 1 :].strip(b" \t"))
        elif name not in HOP_BY_HOP:
            fields.append((name, line))
    fields.pop()  # The split ends with an empty piece after the last CRLF.
    if len(fields) > MAX_FIELDS:
        raise BadHead(too_many, f"the head has more than {MAX_FIELDS} fields")
    return fields


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


_READERS: Final = {
    b"connection": _read_connection,
    b"content-length": _read_content_length,
    b"expect": _read_expect,
    b"host": _read_host,
    b"keep-alive": _read_keep_alive,
    b"te": _read_te,
    b"transfer-encoding": _read_transfer_encoding,
    b"upgrade": _read_upgrade,
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
