"""Bytes to messages and back; the only place where wire input is checked.

A frame is one byte of protocol version, one byte of encoding (0: msgpack, 1: msgpack under zstd), then the body.
"""

from typing import Any

import msgspec
import zstandard

from forefill_protocol import messages

MAX_FRAME_BYTES = 64 * 1024
MAX_BODY_BYTES = 256 * 1024
COMPRESS_FROM_BYTES = 512

PLAIN, ZSTD = 0, 1

# What msgspec raises for bytes or text that are not what they should be; bytes that are no UTF-8 are not its own error.
UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)

_encoder = msgspec.msgpack.Encoder()
_up = msgspec.msgpack.Decoder(messages.Up)
_down = msgspec.msgpack.Decoder(messages.Down)
_compressor = zstandard.ZstdCompressor(level=1, write_content_size=True)
_decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_BODY_BYTES)


class BadFrame(ValueError):
    """The bytes are no message of this protocol. `code` follows HTTP: 400 malformed, 413 too large, 505 version."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


def encode(message: messages.Up | messages.Down, compress_from: int = COMPRESS_FROM_BYTES) -> bytes:
    """One frame; a body of `compress_from` bytes or more is compressed when that makes it shorter.

    Raises BadFrame 413 when it exceeds the bounds.
    """
    body = _encoder.encode(message)
    if len(body) > MAX_BODY_BYTES:
        raise BadFrame(413, f"the message has {len(body)} bytes; at most {MAX_BODY_BYTES} are allowed")
    encoding = PLAIN
    if len(body) >= compress_from:
        packed = _compressor.compress(body)
        if len(packed) < len(body):
            encoding, body = ZSTD, packed
    if len(body) + 2 > MAX_FRAME_BYTES:
        raise BadFrame(413, f"the frame has {len(body) + 2} bytes; at most {MAX_FRAME_BYTES} are allowed")
    return bytes((messages.PROTOCOL_VERSION, encoding)) + body


def decode_up(frame: bytes) -> messages.Up:
    """What a sidecar sent. Raises BadFrame, whatever the bytes are."""
    message: messages.Up = _decode(frame, _up)
    return message


def decode_down(frame: bytes) -> messages.Down:
    """What the operator sent. Raises BadFrame, whatever the bytes are."""
    message: messages.Down = _decode(frame, _down)
    return message


def _decode(frame: bytes, decoder: "msgspec.msgpack.Decoder[Any]") -> Any:
    body = _body(frame)
    try:
        return decoder.decode(body)
    except UNREADABLE as error:
        raise BadFrame(400, f"the message can't be read: {error}") from None


def _body(frame: bytes) -> bytes:
    if len(frame) > MAX_FRAME_BYTES:
        raise BadFrame(413, f"the frame has {len(frame)} bytes; at most {MAX_FRAME_BYTES} are allowed")
    if len(frame) < 3:
        raise BadFrame(400, f"the frame has {len(frame)} bytes; a message has at least 3")
    if frame[0] != messages.PROTOCOL_VERSION:
        raise BadFrame(505, f"protocol version {frame[0]} is not spoken here; {messages.PROTOCOL_VERSION} is")
    if frame[1] == PLAIN:
        return frame[2:]
    if frame[1] == ZSTD:
        return _decompress(frame[2:])
    raise BadFrame(400, f"encoding {frame[1]} is unknown; 0 (msgpack) and 1 (msgpack under zstd) are allowed")


def _decompress(packed: bytes) -> bytes:
    # The size is read from the header first: nothing is allocated for a frame that lies about being small.
    try:
        size = zstandard.get_frame_parameters(packed).content_size
        if size in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR) or size > MAX_BODY_BYTES:
            raise BadFrame(413, f"a compressed message must state its size, at most {MAX_BODY_BYTES} bytes")
        return _decompressor.decompress(packed, max_output_size=MAX_BODY_BYTES)
    except zstandard.ZstdError as error:
        raise BadFrame(400, f"the compressed message can't be read: {error}") from None
