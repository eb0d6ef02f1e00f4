"""What request fields ask of the gate, as tables and through real sockets."""

import asyncio
from math import inf
from typing import Any

import pytest

from forefill_sidecar.proxy import wishes
from forefill_sidecar.proxy.wishes import Wishes


@pytest.mark.parametrize(
    ("fields", "wished"),
    [
        ({}, Wishes()),
        ({b"priority": b"Priority: u=0"}, Wishes(urgency=0)),
        ({b"priority": b"priority:u=7, i"}, Wishes(urgency=7)),
        ({b"priority": b"Priority: i, u=1;x=2"}, Wishes(urgency=1)),
        ({b"priority": b"Priority: u=8"}, Wishes()),
        ({b"priority": b"Priority: u=-1"}, Wishes()),
        ({b"prefer": b"Prefer: wait=2"}, Wishes(max_wait_seconds=2.0)),
        ({b"prefer": b"prefer: respond-async, WAIT = 10"}, Wishes(max_wait_seconds=10.0)),
        ({b"prefer": b"Prefer: wait=-1"}, Wishes()),
        ({b"prefer": b"Prefer: wait=1.5"}, Wishes()),
        ({b"prefer": b"Prefer: wait=99999999999"}, Wishes()),
        ({b"forefill-retry": b"Forefill-Retry: 1"}, Wishes(is_marked_retry=True)),
        ({b"forefill-retry": b"Forefill-Retry: 0"}, Wishes()),
        ({b"forefill-retry": b"Forefill-Retry: yes"}, Wishes()),
        ({b"x-stainless-retry-count": b"X-Stainless-Retry-Count: 2"}, Wishes(is_marked_retry=True)),
        ({b"x-envoy-attempt-count": b"x-envoy-attempt-count: 1"}, Wishes()),
        ({b"x-envoy-attempt-count": b"x-envoy-attempt-count: 2"}, Wishes(is_marked_retry=True)),
    ],
)
def test_what_breaks_a_fields_grammar_counts_as_not_there(fields: dict[bytes, bytes], wished: Wishes) -> None:
    assert wishes.read(fields) == wished
    assert wished.max_wait_seconds in (inf, 2.0, 10.0)


def request(name: bytes, fields: bytes = b"") -> bytes:
    return b"GET /%b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%b\r\n" % (name, fields)


async def test_a_request_that_prefers_not_to_wait_is_refused_at_once(net: Any) -> None:
    async with net.upstream_of(net.answering(net.OK)) as upstream:
        async with net.listening(net.pod_listener(upstream.url, fill_rate=0.1), tokens=0.0) as proxy:
            data = await net.exchanged(proxy.port, request(b"a", b"Prefer: wait=0\r\n"))

    assert data.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nRetry-After: 10\r\n" in data


async def test_the_urgent_goes_first_and_both_fields_reach_the_upstream(net: Any) -> None:
    async with net.upstream_of(net.answering(net.OK)) as upstream:
        async with net.listening(net.pod_listener(upstream.url, fill_rate=0.0), tokens=0.0) as proxy:
            later = asyncio.create_task(net.exchanged(proxy.port, request(b"usual")))
            await net.until(lambda: proxy.gate.waiting == 1)
            sooner = asyncio.create_task(net.exchanged(proxy.port, request(b"urgent", b"Priority: u=0\r\n")))
            await net.until(lambda: proxy.gate.waiting == 2)
            proxy.gate.add(proxy.gate.bucket.updated_at, 1.0)
            assert (await sooner).startswith(b"HTTP/1.1 200 ")
            assert not later.done()
            proxy.gate.add(proxy.gate.bucket.updated_at, 1.0)
            assert (await later).startswith(b"HTTP/1.1 200 ")

    received = b"".join(upstream.received)
    assert received.index(b"/urgent") < received.index(b"/usual")
    assert b"Priority: u=0\r\n" in received


async def test_another_try_is_no_new_demand(net: Any) -> None:
    async with net.upstream_of(net.answering(net.OK)) as upstream:
        async with net.listening(net.pod_listener(upstream.url)) as proxy:
            await net.exchanged(proxy.port, request(b"a"))
            await net.exchanged(proxy.port, request(b"a", b"Forefill-Retry: 1\r\n"))

            totals = proxy.meter.totals
            assert (totals.requests, totals.retried_requests, totals.offered, totals.admitted) == (2, 1, 1.0, 2.0)


async def test_a_connection_that_pipelines_stands_in_line_once_like_everyone_else(net: Any) -> None:
    """So turns go round between connections, however many requests one of them has sent."""
    async with net.upstream_of(net.answering(net.OK)) as upstream:
        async with net.listening(net.pod_listener(upstream.url, fill_rate=0.0), tokens=0.0) as proxy:
            async with net.connected(proxy.port) as (_, greedy):
                greedy.write(b"GET /greedy HTTP/1.1\r\nHost: a\r\n\r\n" * 50)
                await net.until(lambda: proxy.gate.waiting == 1)
                modest = asyncio.create_task(net.exchanged(proxy.port, request(b"modest")))
                await net.until(lambda: proxy.gate.waiting == 2)
                proxy.gate.add(proxy.gate.bucket.updated_at, 2.0)
                assert (await modest).startswith(b"HTTP/1.1 200 ")

    assert b"".join(upstream.received).count(b"/greedy") == 1
