"""Where a body ends. Bodies pass as they came; these readers only find their end and refuse what is ambiguous. Pure."""

import re
from typing import Final, Protocol

from forefill_sidecar.proxy.fields import FIELD_LINES, TOKEN

MAX_CHUNK_LINE_BYTES: Final = 4096
MAX_TRAILER_BYTES: Final = 16 * 1024

_QUOTED: Final = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
# RFC 9112 §7.1: up to 15 hexadecimal digits stay below 2^60; extensions follow the grammar or the chunk is refused.
_CHUNK_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,15})((?:[ \t]*;[ \t]*"
    + TOKEN
    + rb"(?:[ \t]*=[ \t]*(?:"
    + TOKEN
    + rb"|"
    + _QUOTED
    + rb"))?)*)\r\n"
)
_TRAILERS: Final = re.compile(rb"(" + FIELD_LINES + rb")\r\n")
# RFC 9110 §6.5.1: a field that frames or routes a message may not be in its trailers.
_NO_TRAILER: Final = frozenset(
    b"transfer-encoding content-length host connection trailer te upgrade expect authorization".split()
)


class BadBody(ValueError):
    """The body breaks the grammar of its framing."""


class Framing(Protocol):
    """Reads a body piece by piece. `payload_bytes` counts its content; `is_done` once it ended."""

    is_done: bool
    payload_bytes: int

    def feed(self, data: bytes) -> int:
        """How many bytes at the start of `data` belong to the body. Raises BadBody."""
        ...


class LengthFraming:
    """A body of a known length."""

    __slots__ = ("_left", "is_done", "payload_bytes")

    def __init__(self, length: int) -> None:
        self._left = length
        self.is_done = length == 0
        self.payload_bytes = 0

    def feed(self, data: bytes) -> int:
        taken = min(len(data), self._left)
        self._left -= taken
        self.payload_bytes += taken
        self.is_done = self._left == 0
        return taken


class CloseFraming:
    """A response that lasts until the upstream closes (RFC 9112 §6.3 rule 8). It is never done by itself."""

    __slots__ = ("is_done", "payload_bytes")

    def __init__(self) -> None:
        self.is_done = False
        self.payload_bytes = 0

    def feed(self, data: bytes) -> int:
        self.payload_bytes += len(data)
        return len(data)


class ChunkedFraming:
    """A chunked body. With `keeps_payload` the content without the chunks' lines gathers in `payload`."""

    __slots__ = ("_line", "_skip", "_state", "_trailers", "is_done", "keeps_payload", "payload", "payload_bytes")

    def __init__(self, keeps_payload: bool = False) -> None:
        self.is_done = False
        self.payload_bytes = 0
        self.keeps_payload = keeps_payload
        self.payload: list[bytes] = []
        self._state = self._size_line
        self._line = b""
        self._skip = 0
        self._trailers = b""

    def feed(self, data: bytes) -> int:
        position = 0
        while position < len(data) and not self.is_done:
            position = self._state(data, position)
        return position

    def take_payload(self) -> bytes:
        """The content gathered since the last call."""
        content = b"".join(self.payload)
        self.payload.clear()
        return content

    def _size_line(self, data: bytes, position: int) -> int:
        match = _CHUNK_LINE.match(data, position) if not self._line else None
        if match is None:
            return self._split_size_line(data, position)
        if match.end() - position > MAX_CHUNK_LINE_BYTES:
            raise BadBody("a chunk's size line is too long")
        self._start_chunk(int(match[1], 16))
        return match.end()

    def _split_size_line(self, data: bytes, position: int) -> int:
        """The line is bad, or it reaches over the end of `data`."""
        end = data.find(b"\n", position) + 1
        self._line += data[position : end or len(data)]
        if len(self._line) > MAX_CHUNK_LINE_BYTES:
            raise BadBody("a chunk's size line is too long")
        if not end:
            return len(data)
        match = _CHUNK_LINE.fullmatch(self._line)
        if match is None:
            raise BadBody("a chunk's size line breaks the grammar")
        self._line = b""
        self._start_chunk(int(match[1], 16))
        return end

    def _start_chunk(self, size: int) -> None:
        self._skip = size
        self._state = self._content if size else self._trailer_section

    def _content(self, data: bytes, position: int) -> int:
        taken = min(len(data) - position, self._skip)
        if self.keeps_payload:
            self.payload.append(data[position : position + taken])
        self._skip -= taken
        self.payload_bytes += taken
        if not self._skip:
            self._state = self._content_end
        return position + taken

    def _content_end(self, data: bytes, position: int) -> int:
        wanted = b"\r\n"[len(self._line) :]
        got = data[position : position + len(wanted)]
        if not wanted.startswith(got):
            raise BadBody("a chunk doesn't end where its size says")
        self._line += got
        if self._line == b"\r\n":
            self._line, self._state = b"", self._size_line
        return position + len(got)

    def _trailer_section(self, data: bytes, position: int) -> int:
        seen = len(self._trailers)
        self._trailers += data[position:]
        end = self._trailers_end()
        if not end:
            if len(self._trailers) > MAX_TRAILER_BYTES:
                raise BadBody("the trailers are too long")
            return len(data)
        match = _TRAILERS.fullmatch(self._trailers, 0, end)
        if match is None:
            raise BadBody("the trailers break the grammar")
        names = {line.partition(b":")[0].lower() for line in match[1].split(b"\r\n")}
        if names & _NO_TRAILER:
            raise BadBody("a field is in the trailers that may not be there")
        self.is_done = True
        return position + end - seen

    def _trailers_end(self) -> int:
        if self._trailers.startswith(b"\r\n"):
            return 2
        if self._trailers.startswith(b"\n") or b"\n\n" in self._trailers:
            raise BadBody("a line of the trailers ends in a bare line feed")
        return self._trailers.find(b"\r\n\r\n") + 4 if b"\r\n\r\n" in self._trailers else 0


def of(content_length: int | None, is_chunked: bool) -> Framing:
    """A request's framing; without either it has no body (RFC 9112 §6.3 rule 7)."""
    return ChunkedFraming() if is_chunked else LengthFraming(content_length or 0)
