"""Heads that are remembered mean what they would mean if they were read anew."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from forefill_protocol.policysettings import CostSettings
from forefill_sidecar import cost
from forefill_sidecar.proxy import address, fields, known, rewrite, wishes
from forefill_sidecar.proxy.fields import BadHead
from forefill_sidecar.proxy.head import parse_request

UPSTREAM = address.parse("http://up:1/base")
RULE = cost.rule(CostSettings(default=1.0, header="x-tokens"))
TRACE = b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
LINES = st.sampled_from(
    [
        TRACE,
        TRACE.replace(b"t", b"T", 1),
        TRACE.replace(b"-01", b"-1"),
        TRACE.replace(b"4bf9", b"4BF9"),
        TRACE.replace(b": ", b":"),
        b"x-" + TRACE,
        b"Connection: traceparent\r\n",
        b"Connection: close\r\n",
        b"X-Tokens: 5\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Priority: u=1\r\n",
        b"A: raceparent: b\r\n",
        b"A: b\r\n",
        b" folded\r\n",
    ]
)


def meaning(request: known.Request) -> tuple[object, ...]:
    """All of a request, its lines and its wire without regard to the order of differently named fields."""
    head = request.head
    first, _, wire = request.wire.partition(b"\r\n")
    lines = sorted(fields.pairs(head.lines), key=lambda pair: pair[0])
    sent = sorted(fields.pairs(wire.removesuffix(b"\r\n")), key=lambda pair: pair[0])
    framing = (head.content_length, head.is_chunked, head.keeps_alive, head.host)
    return (first, lines, sent, framing, request.price, request.wishes, request.is_plain)


def read_anew(raw: bytes) -> tuple[object, ...]:
    """The meaning without anything that was known before, put together from the parts."""
    head = parse_request(raw)
    asked = wishes.read(dict(fields.pairs(head.lines))) if head.asks else None
    is_plain = not (head.is_chunked or head.content_length)
    wire = rewrite.request(head, UPSTREAM, None)
    return meaning(known.Request(head, wire, known.price(RULE, head), asked, not is_plain, True, is_plain))


def outcome(read: Callable[[bytes], tuple[object, ...]], raw: bytes) -> object:
    try:
        return read(raw)
    except BadHead as bad:
        return bad.status


@given(st.lists(st.lists(LINES, max_size=5), min_size=1, max_size=4))
def test_what_was_read_before_changes_nothing(heads: list[list[bytes]]) -> None:
    look = known.requests(UPSTREAM, RULE)
    for lines in heads:
        raw = b"GET /a HTTP/1.1\r\nHost: me\r\n" + b"".join(lines) + b"\r\n"
        assert outcome(lambda raw: meaning(look(raw)), raw) == outcome(read_anew, raw)


def test_two_traces_are_two_requests_from_one_known_head() -> None:
    look = known.requests(UPSTREAM, RULE)
    first, second = (
        look(b"GET /a HTTP/1.1\r\nHost: me\r\nA: b\r\n" + TRACE.replace(b"-01", flags) + b"\r\n")
        for flags in (b"-00", b"-01")
    )

    assert first.wire == b"GET /base/a HTTP/1.1\r\nHost: up:1\r\n" + TRACE.replace(b"-01", b"-00") + b"A: b\r\n\r\n"
    assert second.head.field(b"traceparent") == TRACE[13:-2]


def test_a_trace_that_connection_makes_hop_by_hop_is_dropped() -> None:
    request = known.requests(UPSTREAM, RULE)(
        b"GET /a HTTP/1.1\r\nHost: me\r\nConnection: traceparent\r\n" + TRACE + b"\r\n"
    )

    assert request.wire == b"GET /base/a HTTP/1.1\r\nHost: up:1\r\n\r\n"


def test_a_policy_may_even_charge_by_the_trace() -> None:
    rule = cost.rule(CostSettings(default=1.0, header="traceparent"))
    request = known.requests(UPSTREAM, rule)(b"GET /a HTTP/1.1\r\nHost: me\r\ntraceparent: 7\r\n\r\n")

    assert request.price.tokens == 7.0
