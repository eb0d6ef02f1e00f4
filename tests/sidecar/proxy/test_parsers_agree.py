"""What the proxy accepts means the same to h11: messages put together from what smuggling is made of."""

import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

# The fuzz target and these tests share one judge; bench/ is no installed package.
sys.path.append(str(Path(__file__).parents[3]))
from bench.fuzz import agreement

_PIECES = st.sampled_from(
    [
        *(b"GET POST HEAD PURGE / /a?b * http://a/ HTTP/1.1 HTTP/1.0 HTTP/1.2 200 100 204 304 OK".split()),
        *(b" |\r\n|\r\n\r\n|\n|\r|\t|\0|\x0b|\x7f|\xff|:|,|;|=|\"|'|\\|%".split(b"|")),
        *(b"Host: a|Host:|Content-Length: 5|Content-Length: 05|Content-Length:0|content-length: 5, 5".split(b"|")),
        *(b"Transfer-Encoding: chunked|transfer-encoding:\tChunked|Transfer-Encoding: gzip, chunked".split(b"|")),
        *(
            b"Connection: close|Connection: upgrade, te|Upgrade: websocket|Expect: 100-continue|TE: trailers".split(
                b"|"
            )
        ),
        *(b"0\r\n\r\n|5\r\nhello\r\n|5;a=b\r\nhello\r\n|0\r\nX: y\r\n\r\n|000|a|hello|X: y|X-Y:z ".split(b"|")),
    ]
)
_LINES = st.lists(_PIECES, max_size=12).map(b"".join)
_FIELDS = st.lists(
    st.sampled_from(
        b"X: y|X-Y:z |Content-Length: 5|Content-Length: 05|Content-Length: 0|Transfer-Encoding: chunked|TE: trailers|"
        b"Connection: close|Connection: keep-alive, x|X:\xff\t a|transfer-encoding: \tchunked".split(b"|")
    ),
    max_size=4,
).map(lambda lines: b"".join(line + b"\r\n" for line in lines))
_BODIES = st.lists(
    st.sampled_from(
        b"5\r\nhello\r\n|hello|0\r\n\r\n|0\r\nX: y\r\n\r\n|1;x\r\na\r\n|A\r\n0123456789\r\n|00\r\n\r\n".split(b"|")
    ),
    max_size=4,
).map(b"".join)
_SPECIAL_FIELDS = st.one_of(_FIELDS, _LINES.map(lambda more: more + b"\r\n"))


@settings(max_examples=300)
@given(_SPECIAL_FIELDS, _BODIES, st.sampled_from([b"GET / HTTP/1.1", b"POST /a?b HTTP/1.0", b"PUT http://b/ HTTP/1.1"]))
def test_requests_mean_the_same(fields: bytes, body: bytes, line: bytes) -> None:
    agreement.request(line + b"\r\nHost: a\r\n" + fields + b"\r\n" + body)


@settings(max_examples=300)
@given(_SPECIAL_FIELDS, _BODIES, st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.0 404 ", b"HTTP/1.1 599 \xff"]))
def test_responses_mean_the_same(fields: bytes, body: bytes, line: bytes) -> None:
    agreement.response(line + b"\r\n" + fields + b"\r\n" + body)


@given(st.one_of(st.binary(max_size=300), _LINES))
def test_whatever_comes_is_read_alike_or_refused(data: bytes) -> None:
    agreement.request(data)
    agreement.response(data)
