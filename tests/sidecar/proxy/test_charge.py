"""Costs through real sockets: what is reserved before a request goes out, and what is settled after its response."""

import asyncio
from typing import Any

import pytest

from forefill_protocol.policysettings import CostSettings

LAST_GET = b"GET /a HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n"
BY_RESPONSE = CostSettings(default=1.0, response_pointer="/usage/total_tokens", reserve=10.0, max_debt=20.0)


def json_answer(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def chunked_answer(content_type: bytes, *pieces: bytes) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n%b" % (content_type, body)


async def tokens_left(net: Any, response: bytes, cost: CostSettings, request: bytes = LAST_GET) -> float:
    """Tokens of 100 after one exchange."""
    settings = net.policy_settings(cost=cost)
    async with net.upstream_of(net.answering(response)) as upstream:
        listener = net.pod_listener(upstream.url, fill_rate=0.0, burst=100.0, settings=settings)
        async with net.listening(listener, tokens=100.0) as proxy:
            data = await net.exchanged(proxy.port, request)
            assert data.endswith(response.partition(b"\r\n\r\n")[2])
            tokens: float = proxy.gate.bucket.tokens
            return tokens


@pytest.mark.parametrize(
    ("response", "left"),
    [
        (json_answer(b'{"usage": {"total_tokens": 42}}'), 58.0),
        (json_answer(b'{"usage": {"total_tokens": 3}}'), 97.0),
        (json_answer(b'{"usage": {"total_tokens": 5000}}'), -20.0),
        (json_answer(b'{"ok": true}'), 90.0),
        (json_answer(b'{"error": "no"}', b"500 Oh"), 100.0),
        (chunked_answer(b"application/json", b'{"usage": {"total_', b'tokens": 42}}'), 58.0),
        (chunked_answer(b"text/event-stream", b"data: {}\n\n", b'data: {"usage": {"total_tokens": 42}}\n\n'), 58.0),
        (chunked_answer(b"text/plain", b"total_tokens"), 90.0),
    ],
    ids=["dearer", "cheaper", "debt is bounded", "silent", "failed", "chunked", "events", "not readable"],
)
async def test_a_request_costs_what_its_response_says(net: Any, response: bytes, left: float) -> None:
    assert await tokens_left(net, response, BY_RESPONSE) == left


async def test_the_next_request_reserves_what_the_last_one_cost(net: Any) -> None:
    settings = net.policy_settings(cost=BY_RESPONSE)
    async with net.upstream_of(net.answering(json_answer(b'{"usage": {"total_tokens": 42}}'))) as upstream:
        async with net.listening(net.pod_listener(upstream.url, settings=settings)) as proxy:
            await net.exchanged(proxy.port, LAST_GET)
            await net.exchanged(proxy.port, LAST_GET)

            assert proxy.meter.totals.admitted == 10.0 + 42.0
            assert proxy.meter.close(proxy.meter.started_at + 1.0).admitted == 84.0


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 4000\r\n\r\n" + b"x" * 4000,
        b"Transfer-Encoding: chunked\r\n\r\nfa0\r\n" + b"x" * 4000 + b"\r\n0\r\n\r\n",
    ],
    ids=["length", "chunked"],
)
async def test_a_body_costs_by_its_size_whether_announced_or_not(net: Any, body: bytes) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"x" * 4000)
        writer.write(net.OK)

    settings = net.policy_settings(cost=CostSettings(default=1.0, per_kilobyte=2.0))
    async with net.upstream_of(handler) as upstream:
        listener = net.pod_listener(upstream.url, fill_rate=0.0, burst=100.0, settings=settings)
        async with net.listening(listener, tokens=100.0) as proxy:
            await net.exchanged(proxy.port, b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + body)

            assert proxy.gate.bucket.tokens == 91.0


async def test_a_body_that_grows_after_its_request_was_admitted_is_paid_for(net: Any) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(net.OK)

    settings = net.policy_settings(cost=CostSettings(default=1.0, per_kilobyte=2.0))
    async with net.upstream_of(handler) as upstream:
        listener = net.pod_listener(upstream.url, fill_rate=0.0, burst=100.0, settings=settings)
        async with net.listening(listener, tokens=100.0) as proxy, net.connected(proxy.port) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            await net.until(lambda: proxy.gate.bucket.tokens == 99.0)
            writer.write(b"fa0\r\n" + b"x" * 4000 + b"\r\n0\r\n\r\n")
            assert await reader.readexactly(len(net.OK)) == net.OK

            assert proxy.gate.bucket.tokens == 91.0
