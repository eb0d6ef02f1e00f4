"""Case tables of chunked bodies. Sections are RFC 9112's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_sidecar.proxy.framing import (
    MAX_CHUNK_LINE_BYTES,
    MAX_TRAILER_BYTES,
    BadBody,
    ChunkedFraming,
    CloseFraming,
    LengthFraming,
)

BAD_BODIES = [
    ("§7.1", "no size", b"\r\nabc\r\n0\r\n\r\n"),
    ("§7.1", "size with a sign", b"+3\r\nabc\r\n0\r\n\r\n"),
    ("§7.1", "size below zero", b"-3\r\nabc\r\n0\r\n\r\n"),
    ("§7.1", "size with 0x", b"0x3\r\nabc\r\n0\r\n\r\n"),
    ("§7.1", "size with a space before", b" 3\r\nabc\r\n0\r\n\r\n"),
    ("§7.1", "size with a space after", b"3 \r\nabc\r\n0\r\n\r\n"),
    ("§7.1", "size with an underscore", b"1_0\r\n" + b"a" * 16 + b"\r\n0\r\n\r\n"),
    ("§7.1", "size that isn't hexadecimal", b"g\r\nabc\r\n0\r\n\r\n"),
    ("§7.1", "size beyond 60 bits", b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    ("§7.1", "size of many zeros", b"0000000000000000003\r\nabc\r\n0\r\n\r\n"),
    ("§7.1", "bare LF after the size", b"3\nabc\r\n0\r\n\r\n"),
    ("§7.1", "bare CR after the size", b"3\rabc\r\n0\r\n\r\n"),
    ("§7.1", "CR CR LF after the size", b"3\r\r\nabc\r\n0\r\n\r\n"),
    ("§7.1", "bare LF after the content", b"3\r\nabc\n0\r\n\r\n"),
    ("§7.1", "content longer than its size", b"3\r\nabcd\r\n0\r\n\r\n"),
    ("§7.1", "content shorter than its size", b"4\r\nabc\r\n0\r\n\r\n"),
    ("§7.1", "bare LF at the end", b"0\r\n\n"),
    ("§7.1.1", "bare LF in an extension", b"3;a\nb\r\nabc\r\n0\r\n\r\n"),
    ("§7.1.1", "bare CR in an extension", b"3;a\rb\r\nabc\r\n0\r\n\r\n"),
    ("§7.1.1", "NUL in an extension", b"3;a=\0\r\nabc\r\n0\r\n\r\n"),
    ("§7.1.1", "extension without a name", b"3;\r\nabc\r\n0\r\n\r\n"),
    ("§7.1.1", "quotes that never end", b'3;a="b\r\nabc\r\n0\r\n\r\n'),
    ("§7.1.1", "over-long extension", b"3;a=" + b"b" * MAX_CHUNK_LINE_BYTES + b"\r\nabc\r\n0\r\n\r\n"),
    ("§7.1.2", "trailer with a space before the colon", b"0\r\nA : b\r\n\r\n"),
    ("§7.1.2", "folded trailer", b"0\r\nA: b\r\n c\r\n\r\n"),
    ("§7.1.2", "trailer with a bare LF", b"0\r\nA: b\nC: d\r\n\r\n"),
    ("§7.1.2", "trailer without a colon", b"0\r\nabc\r\n\r\n"),
    ("§7.1.2", "over-long trailers", b"0\r\n" + b"A: b\r\n" * MAX_TRAILER_BYTES),
    ("RFC 9110 §6.5.1", "CL in the trailers", b"0\r\nContent-Length: 5\r\n\r\n"),
    ("RFC 9110 §6.5.1", "TE in the trailers", b"0\r\ntransfer-encoding: chunked\r\n\r\n"),
    ("RFC 9110 §6.5.1", "Host in the trailers", b"0\r\nHost: a\r\n\r\n"),
]
GOOD_BODIES = [
    ("§7.1", "empty", b"0\r\n\r\n", b""),
    ("§7.1", "two chunks", b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", b"abc0123456789"),
    ("§7.1", "last chunk of many zeros", b"3\r\nabc\r\n000\r\n\r\n", b"abc"),
    ("§7.1", "content that looks like chunks", b"7\r\n0\r\n\r\n0\r\r\n0\r\n\r\n", b"0\r\n\r\n0\r"),
    ("§7.1.1", "extensions", b'3;a;b=c;d="e;f\\""\r\nabc\r\n0;z\r\n\r\n', b"abc"),
    ("§7.1.1", "spaces around an extension", b"3 ; a = b\r\nabc\r\n0\r\n\r\n", b"abc"),
    ("§7.1.2", "trailers", b"3\r\nabc\r\n0\r\nA: b\r\nC: d\r\n\r\n", b"abc"),
]


def feed_in(pieces: list[bytes]) -> tuple[ChunkedFraming, bytes]:
    """The framing after all pieces, and what it did not take."""
    framing, left = ChunkedFraming(keeps_payload=True), b""
    for piece in pieces:
        taken = 0 if framing.is_done else framing.feed(piece)
        left += piece[taken:]
    return framing, left


@pytest.mark.parametrize(("section", "what", "body"), BAD_BODIES, ids=[f"{s} {w}" for s, w, _ in BAD_BODIES])
@pytest.mark.parametrize("step", [1, 7, 1_000_000])
def test_a_chunked_body_that_can_be_misread_is_refused(section: str, what: str, body: bytes, step: int) -> None:
    with pytest.raises(BadBody):
        feed_in([body[start : start + step] for start in range(0, len(body), step)])


@pytest.mark.parametrize(
    ("section", "what", "body", "content"), GOOD_BODIES, ids=[f"{s} {w}" for s, w, _, _ in GOOD_BODIES]
)
@pytest.mark.parametrize("step", [1, 2, 5, 1_000_000])
def test_a_chunked_body_ends_where_it_says(section: str, what: str, body: bytes, content: bytes, step: int) -> None:
    whole = body + b"GET / HTTP/1.1"

    framing, left = feed_in([whole[start : start + step] for start in range(0, len(whole), step)])

    assert (framing.is_done, framing.take_payload(), left) == (True, content, b"GET / HTTP/1.1")
    assert framing.payload_bytes == len(content)


@given(
    st.lists(st.binary(min_size=1, max_size=300), max_size=8),
    st.lists(st.integers(1, 40), min_size=1, max_size=200),
    st.binary(max_size=20),
)
def test_how_a_body_is_cut_into_pieces_changes_nothing(chunks: list[bytes], cuts: list[int], rest: bytes) -> None:
    whole = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n" + rest
    pieces, position = [], 0
    for cut in cuts:
        pieces.append(whole[position : position + cut])
        position += cut
    pieces.append(whole[position:])

    framing, left = feed_in(pieces)

    assert (framing.is_done, framing.take_payload(), left) == (True, b"".join(chunks), rest)


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_whatever_comes_is_taken_or_refused(pieces: list[bytes]) -> None:
    framing = ChunkedFraming()
    for piece in pieces:
        if framing.is_done:
            return
        try:
            taken = framing.feed(piece)
        except BadBody:
            return
        assert taken == len(piece) or framing.is_done


def test_a_body_of_known_length_takes_that_much() -> None:
    framing = LengthFraming(5)

    assert [framing.feed(b"abc"), framing.is_done, framing.feed(b"defg"), framing.is_done] == [3, False, 2, True]
    assert LengthFraming(0).is_done


def test_a_body_until_the_end_of_the_connection_takes_everything() -> None:
    framing = CloseFraming()

    assert (framing.feed(b"abc"), framing.is_done, framing.payload_bytes) == (3, False, 3)
