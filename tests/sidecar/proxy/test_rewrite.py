import pytest

from forefill_sidecar.proxy import address, rewrite
from forefill_sidecar.proxy.head import parse_request

UPSTREAM = address.parse("https://api.example/base")


def rewritten(fields: bytes, peer: str | None, line: bytes = b"GET /a HTTP/1.1") -> bytes:
    return rewrite.request(parse_request(line + b"\r\nHost: me:1\r\n" + fields + b"\r\n"), UPSTREAM, peer)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (b"", b"X-Forwarded-For: 10.0.0.7\r\nX-Forwarded-Host: me:1\r\nX-Forwarded-Proto: http\r\n"),
        (
            b"X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n",
            b"X-Forwarded-Proto: https\r\nX-Forwarded-For: 9.9.9.9, 10.0.0.7\r\nX-Forwarded-Host: me:1\r\n",
        ),
    ],
)
def test_a_client_outside_the_pod_is_forwarded_for(fields: bytes, expected: bytes) -> None:
    assert rewritten(fields, "10.0.0.7") == b"GET /base/a HTTP/1.1\r\nHost: api.example\r\n" + expected + b"\r\n"


def test_one_head_is_rewritten_for_each_peer() -> None:
    first, second, inside = (rewritten(b"", peer) for peer in ("10.0.0.1", "10.0.0.2", None))

    assert b"10.0.0.1" in first
    assert b"10.0.0.2" in second
    assert inside == b"GET /base/a HTTP/1.1\r\nHost: api.example\r\n\r\n"


def test_options_for_the_server_keeps_its_asterisk() -> None:
    assert rewritten(b"", None, b"OPTIONS * HTTP/1.1").startswith(b"OPTIONS * HTTP/1.1\r\nHost: api.example\r\n")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a", address.Address(False, "a", 80, b"a", b"")),
        ("https://a/", address.Address(True, "a", 443, b"a", b"")),
        ("http://a.b:8000/v1/", address.Address(False, "a.b", 8000, b"a.b:8000", b"/v1")),
        ("http://[::1]:9", address.Address(False, "::1", 9, b"[::1]:9", b"")),
    ],
)
def test_an_upstreams_url_tells_where_to_connect_and_what_to_call_it(url: str, expected: address.Address) -> None:
    assert address.parse(url) == expected


@pytest.mark.parametrize("url", ["a", "http://", "ftp://a", "http://a:0", "http://a:65536", "http://u@a", "http://a?b"])
def test_what_is_no_url_is_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(ValueError, match=r"the upstream '.+' (is no URL of the form|has port)"):
        address.parse(url)
