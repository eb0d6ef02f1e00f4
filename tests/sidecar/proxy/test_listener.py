"""The proxy between real sockets: what passes, in which form, and what happens when a side misbehaves."""

import asyncio
import contextlib
from typing import Any, cast

import pytest

from forefill_protocol.policysettings import CostSettings

GET = b"GET /a HTTP/1.1\r\nHost: me\r\n\r\n"
LAST_GET = b"GET /a HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n"


def status_of(data: bytes) -> int:
    return int(data[9:12])


async def test_a_request_and_its_response_pass(net: Any) -> None:
    async with (
        net.upstream_of(net.answering(net.OK)) as upstream,
        net.listening(net.pod_listener(upstream.url)) as proxy,
    ):
        data = await net.exchanged(proxy.port, b"GET /a?b HTTP/1.1\r\nHost: me\r\nX-A:  1\r\nConnection: close\r\n\r\n")

    assert data == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    assert bytes(upstream.received[0]) == b"GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-A:  1\r\n\r\n" % upstream.port


async def test_a_base_path_of_the_upstream_precedes_the_target(net: Any) -> None:
    async with net.upstream_of(net.answering(net.OK)) as upstream:
        async with net.listening(net.pod_listener(upstream.url + "/base/")) as proxy:
            await net.exchanged(proxy.port, LAST_GET)

    assert upstream.received[0].startswith(b"GET /base/a HTTP/1.1\r\n")


async def test_connections_are_kept_on_both_sides(net: Any) -> None:
    async with (
        net.upstream_of(net.answering(net.OK)) as upstream,
        net.listening(net.pod_listener(upstream.url)) as proxy,
    ):
        async with net.connected(proxy.port) as (reader, writer):
            for _ in range(3):
                writer.write(GET)
                assert await reader.readexactly(len(net.OK)) == net.OK

    assert len(upstream.received) == 1
    assert (proxy.tally.clients_total, proxy.tally.upstream_total) == (1, 1)


async def test_pipelined_requests_are_answered_in_order(net: Any) -> None:
    async def echo_target(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            target = (await net.read_head(reader)).split()[1]
            await asyncio.sleep(0.02 if target == b"/0" else 0)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + target)

    requests = [b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(3)]
    requests.append(b"GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    async with net.upstream_of(echo_target) as upstream, net.listening(net.pod_listener(upstream.url)) as proxy:
        data = await net.exchanged(proxy.port, b"".join(requests))

    assert [part[:2] for part in data.split(b"\r\n\r\n")[1:]] == [b"/0", b"/1", b"/2", b"/3"]


async def test_a_body_of_known_length_streams_before_it_is_complete(net: Any) -> None:
    first_seen = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await net.read_head(reader)
        await reader.readexactly(3)
        first_seen.set()
        await reader.readexactly(3)
        writer.write(net.OK)

    async with net.upstream_of(handler) as upstream, net.listening(net.pod_listener(upstream.url)) as proxy:
        async with net.connected(proxy.port) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
            await asyncio.wait_for(first_seen.wait(), 5)
            writer.write(b"def")
            assert await reader.readexactly(len(net.OK)) == net.OK

    assert upstream.received[0].endswith(b"abcdef")


async def test_a_chunked_body_passes_with_extensions_and_trailers(net: Any) -> None:
    body = b"3;x=y\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await net.read_head(reader)
        await reader.readexactly(len(body))
        writer.write(b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n" + body)

    async with net.upstream_of(handler) as upstream, net.listening(net.pod_listener(upstream.url)) as proxy:
        request = (
            b"POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, TE\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        data = await net.exchanged(proxy.port, request + body)

    assert data.endswith(b"\r\n\r\n" + body)
    assert b"Trailer: X-Sum\r\n" in data
    sent = bytes(upstream.received[0])
    assert sent.endswith(b"\r\n\r\n" + body)
    assert b"Transfer-Encoding: chunked\r\nConnection: TE\r\nTE: trailers\r\n" in sent


async def test_events_reach_the_client_one_by_one(net: Any) -> None:
    go_on = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await net.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await go_on.wait()
        writer.write(b"data: 2\n\n")

    async with net.upstream_of(handler) as upstream, net.listening(net.pod_listener(upstream.url)) as proxy:
        async with net.connected(proxy.port) as (reader, writer):
            writer.write(GET)
            assert b"Connection: close" in await net.read_head(reader)
            assert await reader.readexactly(9) == b"data: 1\n\n"
            go_on.set()
            assert await reader.read() == b"data: 2\n\n"


@pytest.mark.parametrize(
    ("method", "response", "body"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b""),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b""),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"GET", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", b""),
        (b"GET", b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", b"x"),
    ],
)
async def test_a_response_without_a_body_leaves_the_connection_usable(
    net: Any, method: bytes, response: bytes, body: bytes
) -> None:
    async with net.upstream_of(net.answering(response)) as upstream:
        async with (
            net.listening(net.pod_listener(upstream.url)) as proxy,
            net.connected(proxy.port) as (reader, writer),
        ):
            for _ in range(2):
                writer.write(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
                head = await net.read_head(reader)
                assert status_of(head) == status_of(response)
                assert await reader.readexactly(len(body)) == body

    assert len(upstream.received) == 1


async def test_a_length_in_204_is_left_out(net: Any) -> None:
    async with net.upstream_of(net.answering(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")) as upstream:
        async with net.listening(net.pod_listener(upstream.url)) as proxy:
            data = await net.exchanged(proxy.port, LAST_GET)

    assert data == b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


async def test_interim_responses_pass(net: Any) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with net.upstream_of(net.answering(hints + hints + net.OK)) as upstream:
        async with net.listening(net.pod_listener(upstream.url)) as proxy:
            data = await net.exchanged(proxy.port, LAST_GET)

    assert data.startswith(hints + hints + b"HTTP/1.1 200 OK\r\n")


async def test_a_client_that_expects_100_continue_is_asked_for_its_body(net: Any) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert b"Expect: 100-continue\r\n" in await net.read_head(reader)
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await reader.readexactly(3)
        writer.write(net.OK)

    async with net.upstream_of(handler) as upstream, net.listening(net.pod_listener(upstream.url)) as proxy:
        async with net.connected(proxy.port) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n")
            assert await net.read_head(reader) == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"abc")
            assert await reader.readexactly(len(net.OK)) == net.OK


async def test_a_refused_expectation_ends_the_connection_without_the_body(net: Any) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
    async with (
        net.upstream_of(net.answering(refusal)) as upstream,
        net.listening(net.pod_listener(upstream.url)) as proxy,
    ):
        data = await net.exchanged(
            proxy.port, b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )

    assert data == b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("keep_alive", [b"", b"Connection: keep-alive\r\n"])
async def test_an_http_1_0_client_gets_a_chunked_response_without_chunks(net: Any, keep_alive: bytes) -> None:
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    async with (
        net.upstream_of(net.answering(response)) as upstream,
        net.listening(net.pod_listener(upstream.url)) as proxy,
    ):
        data = await net.exchanged(proxy.port, b"GET / HTTP/1.0\r\n" + keep_alive + b"\r\n")

    assert data == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde"


async def test_an_http_1_0_client_may_keep_its_connection(net: Any) -> None:
    async with (
        net.upstream_of(net.answering(net.OK)) as upstream,
        net.listening(net.pod_listener(upstream.url)) as proxy,
    ):
        async with net.connected(proxy.port) as (reader, writer):
            for _ in range(2):
                writer.write(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                assert b"Connection: keep-alive\r\n" in await net.read_head(reader)
                assert await reader.readexactly(2) == b"ok"


async def test_hop_by_hop_fields_stay_on_their_hop(net: Any) -> None:
    hops = b"Connection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\n"
    response = b"HTTP/1.1 200 OK\r\n" + hops + b"X-End: 2\r\nContent-Length: 0\r\n\r\n"
    request = (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 1\r\nTE: gzip\r\n"
        b"Proxy-Authorization: secret\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\nX-End: 2\r\n\r\n"
    )
    async with (
        net.upstream_of(net.answering(response)) as upstream,
        net.listening(net.pod_listener(upstream.url)) as proxy,
    ):
        data = await net.exchanged(proxy.port, request)

    assert data == b"HTTP/1.1 200 OK\r\nX-End: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    assert bytes(upstream.received[0]) == b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-End: 2\r\n\r\n" % upstream.port


async def test_a_client_in_the_pod_is_not_forwarded_for(net: Any) -> None:
    request = b"GET / HTTP/1.1\r\nHost: me\r\nX-Forwarded-For: 9.9.9.9\r\nConnection: close\r\n\r\n"
    async with (
        net.upstream_of(net.answering(net.OK)) as upstream,
        net.listening(net.pod_listener(upstream.url)) as proxy,
    ):
        await net.exchanged(proxy.port, request)

    assert b"\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n" in upstream.received[0]


async def test_a_websocket_passes_both_ways_until_both_sides_end(net: Any) -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-A: b\r\n\r\n"

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert b"Connection: upgrade\r\nUpgrade: websocket\r\n" in await net.read_head(reader)
        writer.write(switch + b"hello")
        while data := await reader.read(100):
            writer.write(data.upper())
        writer.write(b"bye")

    request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n"
    async with net.upstream_of(handler) as upstream, net.listening(net.pod_listener(upstream.url)) as proxy:
        async with net.connected(proxy.port) as (reader, writer):
            writer.write(request + b"early")
            head = await net.read_head(reader)
            assert status_of(head) == 101
            assert b"Connection: upgrade\r\nUpgrade: websocket\r\n" in head
            assert await reader.readexactly(10) == b"helloEARLY"
            writer.write(b"late")
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 5) == b"LATEbye"
        await net.until(lambda: proxy.tally.upstream_open == 0)


async def test_a_switch_that_nobody_asked_for_is_no_response(net: Any) -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    async with (
        net.upstream_of(net.answering(switch)) as upstream,
        net.listening(net.pod_listener(upstream.url)) as proxy,
    ):
        data = await net.exchanged(proxy.port, LAST_GET)

    assert status_of(data) == 502


async def test_an_upgrade_that_is_declined_is_an_ordinary_exchange(net: Any) -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with (
        net.upstream_of(net.answering(net.OK)) as upstream,
        net.listening(net.pod_listener(upstream.url)) as proxy,
    ):
        async with net.connected(proxy.port) as (reader, writer):
            for _ in range(2):
                writer.write(request)
                assert await reader.readexactly(len(net.OK)) == net.OK


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_a_bad_request_is_answered_400_and_nothing_after_it_is_read(net: Any, request_: bytes) -> None:
    async with (
        net.upstream_of(net.answering(net.OK)) as upstream,
        net.listening(net.pod_listener(upstream.url)) as proxy,
    ):
        data = await net.exchanged(proxy.port, request_ + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")

    assert data.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"Connection: close\r\n" in data
    assert data.count(b"HTTP/1.1") == 1
    assert not any(b"smuggled" in each for each in upstream.received)


async def test_a_body_that_turns_bad_takes_its_upstream_connection_with_it(net: Any) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with net.upstream_of(handler) as upstream, net.listening(net.pod_listener(upstream.url)) as proxy:
        async with net.connected(proxy.port) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            await net.until(lambda: bool(upstream.received) and upstream.received[0].endswith(b"abc\r\n"))
            writer.write(b"zz\r\nGET / HTTP/1.1\r\n\r\n")
            assert status_of(await reader.read()) == 400
            await net.until(lambda: upstream.closed == 1)


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nok\r\n0\r\n\r\n",
    ],
)
async def test_a_response_that_can_be_misread_becomes_502(net: Any, response: bytes) -> None:
    async with (
        net.upstream_of(net.answering(response)) as upstream,
        net.listening(net.pod_listener(upstream.url)) as proxy,
    ):
        data = await net.exchanged(proxy.port, LAST_GET)

    assert status_of(data) == 502
    assert b"can't be trusted" in data
    assert proxy.tally.upstream_failures == 1


async def test_bytes_after_a_response_are_never_taken_for_the_next_one(net: Any) -> None:
    async with net.upstream_of(
        net.answering(net.OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
    ) as upstream:
        async with (
            net.listening(net.pod_listener(upstream.url)) as proxy,
            net.connected(proxy.port) as (reader, writer),
        ):
            for _ in range(2):
                writer.write(GET)
                assert await reader.readexactly(len(net.OK)) == net.OK

    assert len(upstream.received) == 2


async def test_a_response_cut_off_is_cut_off_for_the_client_too(net: Any) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await net.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")

    async with net.upstream_of(handler) as upstream, net.listening(net.pod_listener(upstream.url)) as proxy:
        async with net.connected(proxy.port) as (reader, writer):
            writer.write(GET)
            await net.read_head(reader)
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(10)


async def test_an_upstream_that_is_away_is_a_502_and_costs_nothing(net: Any) -> None:
    async with net.upstream_of(net.answering(net.OK)) as upstream:
        url = upstream.url
    async with net.listening(net.pod_listener(url, fill_rate=0.0), tokens=5.0) as proxy:
        data = await net.exchanged(proxy.port, LAST_GET)

        assert status_of(data) == 502
        assert b"can't be reached: connection refused" in data.lower()
        assert proxy.gate.bucket.tokens == 5.0
        assert (proxy.meter.totals.errors, proxy.tally.answers) == (1, {502: 1})


async def test_an_upstream_that_comes_back_is_used_again(net: Any) -> None:
    async with net.upstream_of(net.answering(net.OK)) as upstream:
        port = upstream.port
    async with (
        net.listening(net.pod_listener(f"http://127.0.0.1:{port}")) as proxy,
        net.connected(proxy.port) as (reader, writer),
    ):
        writer.write(GET)
        head = await net.read_head(reader)
        assert status_of(head) == 502
        await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
        server = await asyncio.start_server(net.answering(net.OK), "127.0.0.1", port)
        writer.write(GET)
        assert await reader.readexactly(len(net.OK)) == net.OK
        server.close()


async def test_a_kept_connection_that_was_closed_is_replaced_for_an_idempotent_request(net: Any) -> None:
    async def one_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await net.read_head(reader)
        writer.write(net.OK)
        with contextlib.suppress(asyncio.IncompleteReadError):
            await net.read_head(reader)

    async with net.upstream_of(one_request) as upstream, net.listening(net.pod_listener(upstream.url)) as proxy:
        async with net.connected(proxy.port) as (reader, writer):
            for _ in range(3):
                writer.write(GET)
                assert await reader.readexactly(len(net.OK)) == net.OK

    assert len(upstream.received) == 3
    assert proxy.tally.upstream_retries == 2


async def test_a_request_that_may_not_be_repeated_is_not(net: Any) -> None:
    async def one_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await net.read_head(reader)
        writer.write(net.OK)
        await net.read_head(reader)

    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    async with net.upstream_of(one_request) as upstream, net.listening(net.pod_listener(upstream.url)) as proxy:
        async with net.connected(proxy.port) as (reader, writer):
            writer.write(post)
            assert await reader.readexactly(len(net.OK)) == net.OK
            writer.write(post)
            assert status_of(await net.read_head(reader)) == 502

    assert len(upstream.received) == 1
    assert proxy.tally.upstream_retries == 0


async def test_a_post_is_not_sent_on_a_connection_that_the_upstream_has_closed(net: Any) -> None:
    async def one_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await net.read_head(reader)
        writer.write(net.OK)

    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    async with net.upstream_of(one_request) as upstream, net.listening(net.pod_listener(upstream.url)) as proxy:
        async with net.connected(proxy.port) as (reader, writer):
            for served in range(3):
                writer.write(post)
                assert await reader.readexactly(len(net.OK)) == net.OK
                await net.until(lambda wanted=served + 1: upstream.closed == wanted)


async def test_a_connection_is_not_kept_longer_than_the_upstream_says(net: Any) -> None:
    response = b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok"
    async with (
        net.upstream_of(net.answering(response)) as upstream,
        net.listening(net.pod_listener(upstream.url)) as proxy,
    ):
        async with net.connected(proxy.port) as (reader, writer):
            for _ in range(2):
                writer.write(GET)
                await reader.readexactly(len(net.OK))

    assert len(upstream.received) == 2


async def test_without_tokens_a_request_waits_and_then_passes(net: Any) -> None:
    async with net.upstream_of(net.answering(net.OK)) as upstream:
        async with net.listening(net.pod_listener(upstream.url, fill_rate=20.0), tokens=0.0) as proxy:
            data = await net.exchanged(proxy.port, LAST_GET)

            assert status_of(data) == 200
            assert sum(proxy.gate.waits.counts) == 1


async def test_a_refusal_says_when_to_come_back(net: Any) -> None:
    settings = net.policy_settings(max_wait_seconds=0.0)
    async with net.upstream_of(net.answering(net.OK)) as upstream:
        listener = net.pod_listener(upstream.url, fill_rate=0.25, burst=10.0, settings=settings)
        async with net.listening(listener, tokens=0.0) as proxy:
            data = await net.exchanged(proxy.port, LAST_GET)

    head, _, body = data.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 429 Too Many Requests",
        b"Content-Type: application/problem+json",
        b"Content-Length: %d" % len(body),
        b"Cache-Control: no-store",
        b"Retry-After: 4",
        b'RateLimit-Policy: "ns/llm";q=10;w=40',
        b'RateLimit: "ns/llm";r=0;t=4',
        b"Connection: close",
    ]
    assert body.startswith(b'{"title":"Too Many Requests","status":429,"detail":"No tokens are left')
    assert not upstream.received


@pytest.mark.parametrize(
    ("fields", "body", "is_kept"),
    [
        (b"Content-Length: 3\r\n", b"abc", True),
        (b"Content-Length: 100000\r\n", b"", False),
        (b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n", False),
        (b"Expect: 100-continue\r\nContent-Length: 3\r\n", b"", False),
    ],
)
async def test_a_refused_request_keeps_its_connection_only_if_its_body_is_short(
    net: Any, fields: bytes, body: bytes, is_kept: bool
) -> None:
    settings = net.policy_settings(max_wait_seconds=0.0)
    async with net.upstream_of(net.answering(net.OK)) as upstream:
        listener = net.pod_listener(upstream.url, fill_rate=0.0, settings=settings)
        async with net.listening(listener, tokens=0.0) as proxy, net.connected(proxy.port) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n" + body[:1])
            head = await net.read_head(reader)
            assert (b"Connection: close" not in head) is is_kept
            await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
            if not is_kept:
                assert await asyncio.wait_for(reader.read(), 5) == b""
                return
            proxy.gate.add(proxy.gate.bucket.updated_at, 1.0)
            writer.write(body[1:] + GET)
            assert await reader.readexactly(len(net.OK)) == net.OK


async def test_observe_never_holds_a_request(net: Any) -> None:
    async with net.upstream_of(net.answering(net.OK)) as upstream:
        listener = net.pod_listener(upstream.url, fill_rate=0.0, mode="Observe")
        async with net.listening(listener, tokens=0.0) as proxy:
            data = await net.exchanged(proxy.port, LAST_GET)

            assert status_of(data) == 200
            assert proxy.gate.unenforced_tokens == 1.0


async def test_a_client_that_leaves_while_it_waits_takes_no_tokens(net: Any) -> None:
    async with net.upstream_of(net.answering(net.OK)) as upstream:
        async with net.listening(net.pod_listener(upstream.url, fill_rate=0.0), tokens=0.0) as proxy:
            async with net.connected(proxy.port) as (_, writer):
                writer.write(GET)
                await net.until(lambda: proxy.gate.waiting == 1)
            await net.until(lambda: proxy.gate.waiting == 0)

            assert proxy.gate.bucket.tokens == 0.0
            assert (proxy.tally.client_aborts, proxy.tally.clients_open) == (1, 0)


async def test_a_client_that_leaves_breaks_its_request_off_at_the_upstream(net: Any) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with net.upstream_of(never) as upstream, net.listening(net.pod_listener(upstream.url)) as proxy:
        async with net.connected(proxy.port) as (_, writer):
            writer.write(GET)
            await net.until(lambda: bool(upstream.received) and bool(upstream.received[0]))
        await net.until(lambda: upstream.closed == 1)

        assert proxy.tally.upstream_open == 0


async def test_the_dearer_request_costs_what_its_field_says(net: Any) -> None:
    settings = net.policy_settings(cost=CostSettings(default=1.0, header="X-Tokens"))
    async with net.upstream_of(net.answering(net.OK)) as upstream:
        listener = net.pod_listener(upstream.url, fill_rate=0.0, burst=100.0, settings=settings)
        async with net.listening(listener, tokens=100.0) as proxy:
            await net.exchanged(proxy.port, b"GET / HTTP/1.1\r\nHost: a\r\nx-tokens: 30\r\nConnection: close\r\n\r\n")

            assert proxy.gate.bucket.tokens == 70.0
    assert b"x-tokens: 30\r\n" in upstream.received[0]


async def test_a_client_that_reads_slowly_slows_the_upstream_down(net: Any) -> None:
    size = 64 * 1024 * 1024
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await net.read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // 65536):
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async with net.upstream_of(flood) as upstream, net.listening(net.pod_listener(upstream.url)) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=65536)
        writer.write(GET)
        await net.read_head(reader)
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < size / 2
        received = 0
        while received < size:
            received += len(await asyncio.wait_for(reader.read(1 << 20), 5))
        writer.close()

    assert (received, sent) == (size, size)


async def test_an_upstream_that_reads_slowly_slows_the_client_down(net: Any) -> None:
    size = 64 * 1024 * 1024
    go_on = asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transport = cast(asyncio.Transport, writer.transport)
        transport.pause_reading()
        await go_on.wait()
        transport.resume_reading()
        await net.read_head(reader)
        left = size
        while left:
            left -= len(await reader.read(1 << 20))
        writer.write(net.OK)

    async with net.upstream_of(stall) as upstream, net.listening(net.pod_listener(upstream.url)) as proxy:
        async with net.connected(proxy.port) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
            sent = 0

            async def push() -> None:
                nonlocal sent
                while sent < size:
                    writer.write(b"x" * 65536)
                    sent += 65536
                    await writer.drain()

            pushing = asyncio.create_task(push())
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.2)
            assert sent < size / 2
            go_on.set()
            await pushing
            assert await asyncio.wait_for(reader.readexactly(len(net.OK)), 5) == net.OK


async def test_who_pipelines_without_reading_is_held(net: Any) -> None:
    body = b"x" * 100_000
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + body
    async with (
        net.upstream_of(net.answering(response)) as upstream,
        net.listening(net.pod_listener(upstream.url)) as proxy,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=65536)
        writer.write(GET * 1000)
        before = -1
        while before != proxy.meter.totals.requests:
            before = proxy.meter.totals.requests
            await asyncio.sleep(0.2)
        assert before < 500
        received = 0
        while received < 1000 * len(response):
            received += len(await asyncio.wait_for(reader.read(1 << 20), 5))
        writer.close()

    assert proxy.meter.totals.requests == 1000


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", None),
        (b"GET / HT", 408),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", 408),
    ],
    ids=["idle", "head", "body"],
)
async def test_a_client_that_stops_sending_is_let_go(net: Any, sent: bytes, status: int | None) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    limits = net.Limits(head_seconds=0.05, idle_seconds=0.05, body_seconds=0.05, linger_seconds=0.05)
    async with (
        net.upstream_of(never) as upstream,
        net.listening(net.pod_listener(upstream.url), limits=limits) as proxy,
    ):
        async with net.connected(proxy.port) as (reader, writer):
            writer.write(sent)
            data = await asyncio.wait_for(reader.read(), 5)

        assert (status_of(data) if data else None) == status
        await net.until(lambda: proxy.tally.clients_open == proxy.tally.upstream_open == 0)


async def test_a_client_that_trickles_its_head_is_let_go_all_the_same(net: Any) -> None:
    async with net.upstream_of(net.answering(net.OK)) as upstream:
        async with net.listening(net.pod_listener(upstream.url), limits=net.Limits(head_seconds=0.3)) as proxy:
            async with net.connected(proxy.port) as (reader, writer):

                async def trickle() -> None:
                    for byte in GET[:-1] * 100:
                        writer.write(bytes([byte]))
                        await asyncio.sleep(0.05)

                trickling = asyncio.create_task(trickle())
                data = await asyncio.wait_for(reader.read(), 5)
                trickling.cancel()

    assert status_of(data) == 408


async def test_too_many_connections_are_turned_away(net: Any) -> None:
    async with net.upstream_of(net.answering(net.OK)) as upstream:
        async with net.listening(net.pod_listener(upstream.url), limits=net.Limits(max_connections=1)) as proxy:
            async with net.connected(proxy.port) as (reader, writer):
                writer.write(GET)
                await reader.readexactly(len(net.OK))
                assert status_of(await net.exchanged(proxy.port, b"")) == 503
                writer.write(GET)
                assert await reader.readexactly(len(net.OK)) == net.OK


async def test_draining_lets_a_request_end_and_closes_idle_connections(net: Any) -> None:
    go_on = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await net.read_head(reader)
        await go_on.wait()
        writer.write(net.OK)

    async with net.upstream_of(handler) as upstream, net.listening(net.pod_listener(upstream.url)) as proxy:
        async with net.connected(proxy.port) as (idle, _), net.connected(proxy.port) as (reader, writer):
            writer.write(GET)
            await net.until(lambda: bool(upstream.received))
            closing = asyncio.create_task(proxy.close(5.0))
            assert await asyncio.wait_for(idle.read(), 5) == b""
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", proxy.port)
            go_on.set()
            assert await asyncio.wait_for(reader.read(), 5) == (
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
            )
            await closing


async def test_what_does_not_end_within_the_grace_is_broken_off(net: Any) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with net.upstream_of(never) as upstream, net.listening(net.pod_listener(upstream.url)) as proxy:
        async with net.connected(proxy.port) as (reader, writer):
            writer.write(GET)
            await net.until(lambda: bool(upstream.received))
            await proxy.close(0.05)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""


async def test_an_early_response_ends_the_upload(net: Any) -> None:
    async def deny(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await net.read_head(reader)
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
        await reader.read()

    async with net.upstream_of(deny) as upstream, net.listening(net.pod_listener(upstream.url)) as proxy:
        async with net.connected(proxy.port) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
            data = await asyncio.wait_for(reader.read(), 5)

    assert data == b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
