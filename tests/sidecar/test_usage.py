import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_sidecar.usage import MAX_DOCUMENT_BYTES, find_number, reader_for

POINTER = ("usage", "total_tokens")
DOCUMENT = b'{"id": "x", "choices": [{"text": "a"}], "usage": {"total_tokens": 42, "prompt_tokens": 2}}'
STREAM = (
    b'data: {"choices": [{"delta": "total_tokens"}], "usage": null}\n\n'
    b'data: {"usage": {"total_tokens": 7}}\n\n'
    b'data: {"choices": [], "usage": {"total_tokens": 42}}\r\n\r\n'
    b"data: [DONE]\n\n"
)


@pytest.mark.parametrize(
    ("document", "pointer", "number"),
    [
        (DOCUMENT, POINTER, 42.0),
        (b'{"a": [1, {"b": 2.5}]}', ("a", "1", "b"), 2.5),
        (b"17", (), 17.0),
        (b'{"usage": null}', POINTER, None),
        (b'{"usage": {"total_tokens": "42"}}', POINTER, None),
        (b'{"usage": {"total_tokens": -1}}', POINTER, None),
        (b'{"a": [1]}', ("a", "7"), None),
        (b'{"a": [1]}', ("a", "x"), None),
        (b"not json", POINTER, None),
        (b"", POINTER, None),
        (b"[" * 100_000, ("0", "0"), None),
    ],
)
def test_a_pointer_leads_to_a_number_or_to_nothing(
    document: bytes, pointer: tuple[str, ...], number: float | None
) -> None:
    assert find_number(document, pointer) == number


def total(content: bytes, content_type: bytes, coding: bytes = b"", step: int = 1_000_000) -> float | None:
    reader = reader_for(POINTER, content_type, coding)
    assert reader is not None
    for start in range(0, len(content), step):
        reader.feed(content[start : start + step])
    return reader.total()


@pytest.mark.parametrize("step", [1, 13, 1_000_000])
@pytest.mark.parametrize(
    ("content", "content_type", "coding"),
    [
        (DOCUMENT, b"application/json; charset=utf-8", b""),
        (DOCUMENT, b"application/vnd.api+JSON", b"identity"),
        (gzip.compress(DOCUMENT), b"application/json", b"gzip"),
        (zlib.compress(DOCUMENT), b"application/json", b"deflate"),
        (STREAM, b"text/event-stream", b""),
        (gzip.compress(STREAM), b"text/event-stream", b"gzip"),
        (DOCUMENT + b"\n", b"application/x-ndjson", b""),
        (DOCUMENT, b"application/x-ndjson", b""),
    ],
)
def test_a_response_tells_what_it_cost(content: bytes, content_type: bytes, coding: bytes, step: int) -> None:
    assert total(content, content_type, coding, step) == 42.0


@pytest.mark.parametrize(
    ("content_type", "coding"),
    [(b"text/html", b""), (b"", b""), (b"application/json", b"br"), (b"application/json", b"gzip, gzip")],
)
def test_what_cannot_be_read_is_not_watched(content_type: bytes, coding: bytes) -> None:
    assert reader_for(POINTER, content_type, coding) is None


@pytest.mark.parametrize(
    ("content", "coding"),
    [
        (b'{"a": "' + b"x" * MAX_DOCUMENT_BYTES + b'"}', b""),
        (gzip.compress(b"x" * (MAX_DOCUMENT_BYTES + 1)), b"gzip"),
        (b"no gzip at all", b"gzip"),
    ],
    ids=["too long", "a bomb", "broken"],
)
def test_what_is_too_long_or_broken_is_given_up(content: bytes, coding: bytes) -> None:
    reader = reader_for(POINTER, b"application/json", coding)
    assert reader is not None
    reader.feed(content)
    reader.feed(b"more")

    assert reader.total() is None
    assert reader._kept == b""


@given(st.lists(st.binary(max_size=50), max_size=6), st.sampled_from([b"application/json", b"text/event-stream"]))
def test_whatever_comes_is_a_number_or_nothing(pieces: list[bytes], content_type: bytes) -> None:
    reader = reader_for(POINTER, content_type, b"")
    assert reader is not None
    for piece in pieces:
        reader.feed(piece)
    found = reader.total()
    assert found is None or found >= 0.0
