"""Finds in a response what it cost: a number in its JSON, or in the last event of a stream that has it. Pure."""

import zlib
from typing import Final

import msgspec

# A document, or a line of a stream, longer than this is passed on but not read.
MAX_DOCUMENT_BYTES: Final = 4 * 1024 * 1024

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[msgspec.Raw])
_number = msgspec.json.Decoder(float)


def find_number(document: bytes, pointer: tuple[str, ...]) -> float | None:
    """The number that a JSON pointer (RFC 6901) leads to; None when there is none, or it is below zero."""
    raw: bytes | msgspec.Raw = document
    try:
        for segment in pointer:
            if bytes(raw).lstrip()[:1] == b"[":
                raw = _array.decode(raw)[int(segment)] if segment.isdecimal() else b""
            else:
                raw = _object.decode(raw)[segment]
        number = _number.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError):
        return None
    return number if number >= 0.0 else None


class UsageReader:
    """Reads a response's content as it passes. `is_stream` says that each line may be a document (SSE, NDJSON)."""

    def __init__(self, pointer: tuple[str, ...], is_stream: bool, is_compressed: bool) -> None:
        self._pointer = pointer
        self._is_stream = is_stream
        # 47 lets zlib tell gzip from deflate itself.
        self._inflate = zlib.decompressobj(47) if is_compressed else None
        self._kept = bytearray()
        self._is_given_up = False
        self._found: float | None = None

    def feed(self, content: bytes) -> None:
        """Take the next piece."""
        if self._is_given_up:
            return
        if self._inflate is not None:
            try:
                content = self._inflate.decompress(content, MAX_DOCUMENT_BYTES)
            except zlib.error:
                self._give_up()
                return
            if self._inflate.unconsumed_tail:
                self._give_up()
                return
        self._kept += content
        if self._is_stream and b"\n" in content:
            *lines, self._kept = self._kept.split(b"\n")
            for line in lines:
                self._read_line(bytes(line))
        if len(self._kept) > MAX_DOCUMENT_BYTES:
            self._give_up()

    def total(self) -> float | None:
        """What was found once the response is complete."""
        if self._is_stream:
            self._read_line(bytes(self._kept))
        elif not self._is_given_up:
            self._found = find_number(bytes(self._kept), self._pointer)
        self._kept.clear()
        return self._found

    def _read_line(self, line: bytes) -> None:
        # Only a line that names the last segment can hold the number; most events of a stream don't.
        if self._pointer[-1].encode() in line:
            found = find_number(line.removeprefix(b"data:").strip(), self._pointer)
            self._found = self._found if found is None else found

    def _give_up(self) -> None:
        self._is_given_up, self._kept = True, bytearray()


def reader_for(pointer: tuple[str, ...], content_type: bytes, content_encoding: bytes) -> UsageReader | None:
    """A reader, or None where the content can't be read: another type, or a coding that isn't gzip or deflate."""
    media_type = content_type.partition(b";")[0].strip().lower()
    coding = content_encoding.strip().lower()
    if coding not in (b"", b"identity", b"gzip", b"deflate"):
        return None
    is_stream = media_type in (b"text/event-stream", b"application/x-ndjson")
    if not is_stream and media_type != b"application/json" and not media_type.endswith(b"+json"):
        return None
    return UsageReader(pointer, is_stream, is_compressed=coding in (b"gzip", b"deflate"))
