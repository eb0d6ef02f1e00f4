"""Case tables of what is refused. Sections are RFC 9112's unless another RFC is named."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_sidecar.proxy.fields import MAX_FIELDS, BadHead
from forefill_sidecar.proxy.head import (
    MAX_HEAD_BYTES,
    MAX_TARGET_BYTES,
    RequestHead,
    ResponseHead,
    find_end,
    parse_request,
    parse_response,
)

HOST = b"Host: a\r\n"


def request(fields: bytes = HOST, line: bytes = b"GET / HTTP/1.1") -> bytes:
    return line + b"\r\n" + fields + b"\r\n"


def response(fields: bytes = b"", line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return line + b"\r\n" + fields + b"\r\n"


BAD_REQUESTS = [
    # (section, what, bytes, status)
    ("§2.2", "bare LF after the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    ("§2.2", "bare LF after a field", request(b"Host: a\nX: b\r\n"), 400),
    ("§2.2", "bare CR in a field", request(HOST + b"X: a\rb\r\n"), 400),
    ("§2.2", "bare CR in the request line", request(line=b"GET /\r HTTP/1.1"), 400),
    ("§2.2", "space before the first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    ("§2.3", "lower-case version", request(line=b"GET / http/1.1"), 400),
    ("§2.3", "no version", request(line=b"GET /"), 400),
    ("§2.3", "version of two digits", request(line=b"GET / HTTP/1.10"), 400),
    ("§2.3", "another major version", request(line=b"GET / HTTP/2.0"), 505),
    ("§2.3", "major version 0", request(line=b"GET / HTTP/0.9"), 505),
    ("§3", "two spaces after the method", request(line=b"GET  / HTTP/1.1"), 400),
    ("§3", "two spaces before the version", request(line=b"GET /  HTTP/1.1"), 400),
    ("§3", "tab for a space", request(line=b"GET\t/ HTTP/1.1"), 400),
    ("§3", "space after the version", request(line=b"GET / HTTP/1.1 "), 400),
    ("§3", "space before the method", request(line=b" GET / HTTP/1.1"), 400),
    ("§3.1", "method that is no token", request(line=b"G@T / HTTP/1.1"), 400),
    ("§3.1", "method in brackets", request(line=b"(GET) / HTTP/1.1"), 400),
    ("§3.2", "target with a space", request(line=b"GET /a b HTTP/1.1"), 400),
    ("§3.2", "target beyond ASCII", request(line=b"GET /\xc3\xa9 HTTP/1.1"), 400),
    ("§3.2", "target with a control character", request(line=b"GET /\x01 HTTP/1.1"), 400),
    ("§3.2", "target without a slash", request(line=b"GET a HTTP/1.1"), 400),
    ("§3.2", "target with a fragment", request(line=b"GET /a#b HTTP/1.1"), 400),
    ("§3.2", "over-long target", request(line=b"GET /" + b"a" * MAX_TARGET_BYTES + b" HTTP/1.1"), 414),
    ("§3.2", "Host missing", request(b""), 400),
    ("§3.2", "two Hosts", request(HOST + HOST), 400),
    ("§3.2", "two Hosts of different case", request(HOST + b"hOST: b\r\n"), 400),
    ("§3.2", "Host with a path", request(b"Host: a/b\r\n"), 400),
    ("§3.2", "Host with a user", request(b"Host: u@a\r\n"), 400),
    ("§3.2", "Host as a list", request(b"Host: a, b\r\n"), 400),
    ("§3.2.2", "URL of another scheme", request(line=b"GET ftp://a/ HTTP/1.1"), 400),
    ("§3.2.2", "URL with a user", request(line=b"GET http://u@a/ HTTP/1.1"), 400),
    ("§3.2.2", "URL without a host", request(line=b"GET http:/// HTTP/1.1"), 400),
    ("§3.2.3", "CONNECT", request(line=b"CONNECT a:443 HTTP/1.1"), 501),
    ("§3.2.4", "asterisk with GET", request(line=b"GET * HTTP/1.1"), 400),
    ("§5", "field without a colon", request(HOST + b"abc\r\n"), 400),
    ("§5", "field without a name", request(HOST + b": b\r\n"), 400),
    ("§5", "name with a space", request(HOST + b"a b: c\r\n"), 400),
    ("§5", "name with a bracket", request(HOST + b"a[b]: c\r\n"), 400),
    ("§5", "name beyond ASCII", request(HOST + b"\xe9: c\r\n"), 400),
    ("§5", "name with a NUL", request(HOST + b"a\0b: c\r\n"), 400),
    ("§5.1", "space before the colon", request(HOST + b"Content-Length : 5\r\n"), 400),
    ("§5.1", "tab before the colon", request(HOST + b"Transfer-Encoding\t: chunked\r\n"), 400),
    ("§5.2", "folded field", request(HOST + b"X: a\r\n b\r\n"), 400),
    ("§5.2", "folded with a tab", request(HOST + b"Transfer-Encoding:\r\n\tchunked\r\n"), 400),
    ("RFC 9110 §5.5", "NUL in a value", request(HOST + b"X: a\0b\r\n"), 400),
    ("RFC 9110 §5.5", "escape character in a value", request(HOST + b"X: a\x1bb\r\n"), 400),
    ("RFC 9110 §5.5", "DEL in a value", request(HOST + b"X: a\x7fb\r\n"), 400),
    ("§6.1", "TE and CL", request(HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400),
    ("§6.1", "CL and TE", request(HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400),
    ("§6.1", "TE twice", request(HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400),
    (
        "§6.1",
        "TE twice, the second unknown",
        request(HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"),
        400,
    ),
    ("§6.1", "chunked twice", request(HOST + b"Transfer-Encoding: chunked, chunked\r\n"), 400),
    ("§6.1", "TE in HTTP/1.0", request(HOST + b"Transfer-Encoding: chunked\r\n", b"GET / HTTP/1.0"), 400),
    ("§6.1", "xchunked", request(HOST + b"Transfer-Encoding: xchunked\r\n"), 400),
    ("§6.1", "chunked in quotes", request(HOST + b'Transfer-Encoding: "chunked"\r\n'), 400),
    ("§6.1", "chunked with a parameter", request(HOST + b"Transfer-Encoding: chunked;q=1\r\n"), 400),
    ("§6.1", "chunked, then a comma", request(HOST + b"Transfer-Encoding: chunked,\r\n"), 400),
    ("§6.1", "a comma, then chunked", request(HOST + b"Transfer-Encoding: ,chunked\r\n"), 400),
    ("§6.1", "empty TE", request(HOST + b"Transfer-Encoding:\r\n"), 400),
    ("§6.1", "TE identity", request(HOST + b"Transfer-Encoding: identity\r\n"), 400),
    ("§6.1", "vertical tab before chunked", request(HOST + b"Transfer-Encoding: \x0bchunked\r\n"), 400),
    ("§6.1", "byte above ASCII before chunked", request(HOST + b"Transfer-Encoding: \xa0chunked\r\n"), 400),
    ("§6.3", "chunked not last", request(HOST + b"Transfer-Encoding: chunked, gzip\r\n"), 400),
    ("§6.1", "a coding we don't know", request(HOST + b"Transfer-Encoding: gzip, chunked\r\n"), 501),
    ("§6.3", "CL twice", request(HOST + b"Content-Length: 5\r\nContent-Length: 5\r\n"), 400),
    ("§6.3", "CL twice, different", request(HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n"), 400),
    ("§6.3", "CL as a list", request(HOST + b"Content-Length: 5, 5\r\n"), 400),
    ("RFC 9110 §8.6", "CL with a sign", request(HOST + b"Content-Length: +5\r\n"), 400),
    ("RFC 9110 §8.6", "CL below zero", request(HOST + b"Content-Length: -5\r\n"), 400),
    ("RFC 9110 §8.6", "CL in hexadecimal", request(HOST + b"Content-Length: 0x5\r\n"), 400),
    ("RFC 9110 §8.6", "CL with an underscore", request(HOST + b"Content-Length: 1_0\r\n"), 400),
    ("RFC 9110 §8.6", "CL with a space inside", request(HOST + b"Content-Length: 1 0\r\n"), 400),
    ("RFC 9110 §8.6", "empty CL", request(HOST + b"Content-Length:\r\n"), 400),
    ("RFC 9110 §8.6", "CL of Arabic digits", request(HOST + "Content-Length: ٥\r\n".encode()), 400),
    ("RFC 9110 §8.6", "CL beyond 64 bits", request(HOST + b"Content-Length: 18446744073709551621\r\n"), 400),
    ("RFC 9110 §7.6.1", "Connection names CL", request(HOST + b"Connection: content-length\r\n"), 400),
    ("RFC 9110 §7.6.1", "Connection names TE", request(HOST + b"Connection: close, Transfer-Encoding\r\n"), 400),
    ("RFC 9110 §7.6.1", "Connection names Host", request(HOST + b"Connection: host\r\n"), 400),
    ("RFC 9110 §10.1.1", "an expectation we don't know", request(HOST + b"Expect: 200-ok\r\n"), 417),
    ("RFC 6585 §5", "too many fields", request(HOST + b"a: b\r\n" * (MAX_FIELDS + 1)), 431),
]


@pytest.mark.parametrize(
    ("section", "what", "head", "status"), BAD_REQUESTS, ids=[f"{s} {w}" for s, w, _, _ in BAD_REQUESTS]
)
def test_a_request_that_can_be_misread_is_refused(section: str, what: str, head: bytes, status: int) -> None:
    with pytest.raises(BadHead) as refused:
        parse_request(head)

    assert refused.value.status == status


BAD_RESPONSES = [
    ("§2.2", "bare LF after the status line", b"HTTP/1.1 200 OK\nA: b\r\n\r\n"),
    ("§2.2", "bare LF after a field", response(b"A: b\nC: d\r\n")),
    ("§2.2", "bare CR in a field", response(b"A: b\rc\r\n")),
    ("§4", "status of two digits", response(line=b"HTTP/1.1 20 OK")),
    ("§4", "status of four digits", response(line=b"HTTP/1.1 2000 OK")),
    ("§4", "status below 100", response(line=b"HTTP/1.1 099 OK")),
    ("§4", "two spaces before the status", response(line=b"HTTP/1.1  200 OK")),
    ("§4", "no status", response(line=b"HTTP/1.1 OK")),
    ("§4", "NUL in the reason", response(line=b"HTTP/1.1 200 O\0K")),
    ("§2.3", "another major version", response(line=b"HTTP/2.0 200 OK")),
    ("§2.3", "another protocol", response(line=b"ICY 200 OK")),
    ("§2.3", "lower-case version", response(line=b"http/1.1 200 OK")),
    ("§5.1", "space before the colon", response(b"Content-Length : 5\r\n")),
    ("§5.2", "folded field", response(b"A: b\r\n c\r\n")),
    ("§5", "field without a colon", response(b"abc\r\n")),
    ("RFC 9110 §5.5", "NUL in a value", response(b"A: b\0\r\n")),
    ("§6.1", "TE and CL", response(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n")),
    ("§6.1", "TE twice", response(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")),
    ("§6.1", "TE in 204", response(b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1 204 No Content")),
    ("§6.1", "TE in 103", response(b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1 103 Early Hints")),
    ("§6.1", "TE in HTTP/1.0", response(b"Transfer-Encoding: chunked\r\n", b"HTTP/1.0 200 OK")),
    ("§6.1", "a coding we don't know", response(b"Transfer-Encoding: gzip, chunked\r\n")),
    ("§6.1", "TE identity", response(b"Transfer-Encoding: identity\r\n")),
    ("§6.3", "CL twice", response(b"Content-Length: 5\r\nContent-Length: 5\r\n")),
    ("§6.3", "CL twice, different", response(b"Content-Length: 5\r\nContent-Length: 6\r\n")),
    ("§6.3", "CL as a list", response(b"Content-Length: 5, 6\r\n")),
    ("RFC 9110 §8.6", "CL with a sign", response(b"Content-Length: +5\r\n")),
    ("RFC 9110 §7.6.1", "Connection names CL", response(b"Connection: content-length\r\n")),
]


@pytest.mark.parametrize(("section", "what", "head"), BAD_RESPONSES, ids=[f"{s} {w}" for s, w, _ in BAD_RESPONSES])
def test_a_response_that_can_be_misread_is_refused(section: str, what: str, head: bytes) -> None:
    with pytest.raises(BadHead) as refused:
        parse_response(head)

    assert refused.value.status == 502


def test_a_request_is_sorted_into_what_is_handed_on_and_what_is_not() -> None:
    head = parse_request(
        b"POST /v1/chat?x=1 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\nX-Secret: 1\r\nAccept: */*\r\n"
        b"Connection: keep-alive, x-secret\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nProxy-Connection: x\r\n\r\n"
    )

    assert head == RequestHead(
        method=b"POST",
        target=b"/v1/chat?x=1",
        minor=1,
        host=b"a:80",
        lines=b"Accept: */*\r\n",
        content_length=5,
        is_chunked=False,
        keeps_alive=True,
        expects_continue=False,
        upgrade=b"",
        accepts_trailers=True,
    )


def test_a_response_likewise() -> None:
    head = parse_response(
        b"HTTP/1.1 200 Very well\r\nContent-Type: a\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5, max=9\r\n\r\n"
    )

    assert head == ResponseHead(
        status=200,
        reason=b" Very well",
        minor=1,
        lines=b"Content-Type: a\r\n",
        content_length=None,
        is_chunked=False,
        keeps_alive=True,
        upgrade=b"",
        idle_seconds=5,
    )


@pytest.mark.parametrize(
    ("line", "target", "host"),
    [
        (b"GET http://b:8080/x?y HTTP/1.1", b"/x?y", b"b:8080"),
        (b"GET http://b HTTP/1.1", b"/", b"b"),
        (b"GET http://b?q HTTP/1.1", b"/?q", b"b"),
        (b"GET https://b/ HTTP/1.1", b"/", b"b"),
        (b"OPTIONS * HTTP/1.1", b"*", b"a"),
        (b"GET //b/c HTTP/1.1", b"//b/c", b"a"),
    ],
)
def test_a_url_in_the_request_line_wins_over_host(line: bytes, target: bytes, host: bytes) -> None:
    head = parse_request(request(line=line))

    assert (head.target, head.host) == (target, host)


@pytest.mark.parametrize(
    ("line", "connection", "keeps"),
    [
        (b"GET / HTTP/1.1", b"", True),
        (b"GET / HTTP/1.1", b"Connection: Close\r\n", False),
        (b"GET / HTTP/1.1", b"Connection: a\r\nConnection: close\r\n", False),
        (b"GET / HTTP/1.0", b"", False),
        (b"GET / HTTP/1.0", b"Connection: Keep-Alive\r\n", True),
        (b"GET / HTTP/1.0", b"Connection: keep-alive, close\r\n", False),
        (b"GET / HTTP/1.7", b"", True),
    ],
)
def test_persistence_follows_version_and_connection(line: bytes, connection: bytes, keeps: bool) -> None:
    assert parse_request(request(HOST + connection, line)).keeps_alive is keeps


def test_a_head_is_found_once_it_is_complete() -> None:
    whole = request()

    assert [find_end(whole[:length]) for length in (0, 5, len(whole) - 1)] == [0, 0, 0]
    assert find_end(whole + b"more") == len(whole)


def test_a_head_that_never_ends_is_refused() -> None:
    with pytest.raises(BadHead) as refused:
        find_end(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * MAX_HEAD_BYTES)

    assert refused.value.status == 431


def test_a_head_of_bare_line_feeds_is_refused_rather_than_waited_for() -> None:
    with pytest.raises(BadHead) as refused:
        find_end(b"GET / HTTP/1.1\nHost: a\n\n")

    assert refused.value.status == 400


_PIECES = st.sampled_from(
    b"GET|POST| |/|HTTP/1.1|HTTP/1.0|\r\n|\n|\r|\t|\0|:|,|;|Host: a|Content-Length: 5|Content-Length|"
    b'Transfer-Encoding: chunked|chunked|Connection: |close|upgrade|0|5|\xff|x|"'.split(b"|")
)
_NEARLY_HEADS = st.lists(_PIECES, max_size=14).map(b"".join)


@given(st.one_of(st.binary(max_size=200), _NEARLY_HEADS, _NEARLY_HEADS.map(lambda more: request(HOST + more))))
def test_whatever_comes_is_a_head_or_refused(data: bytes) -> None:
    for parse in (parse_request, parse_response):
        try:
            end = find_end(data)
            head = parse(data[:end])
        except BadHead:
            continue
        assert not (head.is_chunked and head.content_length is not None)


@given(_NEARLY_HEADS)
def test_what_is_let_through_means_the_same_to_another_strict_parser(more: bytes) -> None:
    """h11, written by others, agrees on method, target and framing of every request that is accepted."""
    data = request(HOST + more)
    try:
        head = parse_request(data)
    except BadHead:
        return
    other = h11.Connection(h11.SERVER)
    other.receive_data(data)
    event = other.next_event()

    assert isinstance(event, h11.Request)
    assert event.method == head.method
    framing = {name: value for name, value in event.headers if name in (b"content-length", b"transfer-encoding")}
    assert framing.get(b"content-length") == (b"%d" % head.content_length if head.content_length is not None else None)
    assert (b"transfer-encoding" in framing) == head.is_chunked
