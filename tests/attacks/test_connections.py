"""Attempts before a request is read: the handshake and the head."""

import asyncio
import contextlib
import socket
import ssl
from typing import Any

import pytest
from picows import WSError

from forefill_operator.acceptor import FAILURES_AT_ONCE, HANDSHAKE_SECONDS, UNFINISHED_PER_ADDRESS
from forefill_operator.upgrade import MAX_HEAD_BYTES
from forefill_protocol import messages

Target = Any


async def still_serves(target: Target) -> None:
    peer, assignment = await target.joined("token-b")
    assert assignment.fill_rate > 0.0
    peer.transport.disconnect()


async def test_tls_1_2_is_not_spoken(target: Target) -> None:
    old = ssl.create_default_context(cafile=str(target.folder / "ca.crt"))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(OSError):  # noqa: PT011 (an alert or a reset, as the kernel delivers them)
        async with target.raw(old):
            pass
    await target.until(lambda: target.count("connections_refused", reason="handshake") == 1.0)
    await still_serves(target)


async def test_nobody_is_talked_down_to_an_older_tls(target: Target) -> None:
    """Offered both, 1.3 is taken."""
    async with target.raw(target.trusting) as (_, writer):
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"


async def test_plaintext_is_not_answered(target: Target) -> None:
    async with target.raw() as (reader, writer):
        writer.write(b"GET /v1/stream HTTP/1.1\r\nAuthorization: Bearer token-a\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            answer = await asyncio.wait_for(reader.read(), 20.0)
            assert not answer.startswith(b"HTTP")
    await target.until(lambda: target.count("connections_refused", reason="handshake") == 1.0)
    await still_serves(target)


async def test_a_handshake_that_never_ends_is_cut_off(target: Target) -> None:
    async with target.raw() as (reader, _):
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), HANDSHAKE_SECONDS + 20.0) == b""
    assert target.count("connections_refused", reason="handshake") == 1.0


async def test_one_address_has_few_unfinished_connections_at_once(target: Target) -> None:
    sockets = [socket.create_connection(("127.0.0.1", target.port)) for _ in range(UNFINISHED_PER_ADDRESS + 20)]
    await target.until(lambda: target.count("connections_refused", reason="crowd") == 20.0)
    for each in sockets:
        each.close()
    await target.until(lambda: target.count("connections_refused", reason="handshake") == UNFINISHED_PER_ADDRESS)


async def test_an_address_that_failed_too_often_is_closed_unread_for_a_while(target: Target) -> None:
    for _ in range(int(FAILURES_AT_ONCE) + 10):
        with contextlib.suppress(OSError, WSError):
            await target.connect("guess")
            raise AssertionError("a guessed token opened a stream")
    assert target.count("connections_refused", reason="failures") >= 5.0
    assert target.count("upgrades_rejected", code="401") <= FAILURES_AT_ONCE + 5.0
    await asyncio.sleep(0.6)
    await still_serves(target)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/stream HTTP/1.1\r\n" + b"X-Filler: a\r\n" * 10_000,
        b"GET /v1/stream HTTP/1.1\r\nX-Filler: " + b"a" * 100_000,
        b"GET /" + b"a" * 100_000,
    ],
)
async def test_a_flood_of_header_is_refused(head: bytes, target: Target) -> None:
    async with target.raw(target.trusting) as (reader, writer):
        writer.write(head)
        answer = await asyncio.wait_for(reader.read(), 20.0)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request")
    assert f"the request head exceeds {MAX_HEAD_BYTES} bytes".encode() in answer
    assert target.count("upgrades_rejected", code="400") == 1.0
    await still_serves(target)


async def test_a_head_that_comes_drop_by_drop_is_cut_off(target: Target) -> None:
    async with target.raw(target.trusting) as (reader, writer):

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                for _ in range(200):
                    writer.write(b"X")
                    await asyncio.sleep(0.1)

        dripping = asyncio.create_task(drip())
        answer = await asyncio.wait_for(reader.read(), 20.0)
        dripping.cancel()
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"POST /v1/stream HTTP/1.1", b"400"),
        (b"GET /v1/stream HTTP/1.0", b"400"),
        (b"GET /metrics HTTP/1.1", b"404"),
        (b"GET /v1/stream/../../healthz HTTP/1.1", b"404"),
        (b"GET http://elsewhere/v1/stream HTTP/1.1", b"404"),
        (b"PRI * HTTP/2.0", b"400"),
    ],
)
async def test_nothing_but_the_stream_is_served(request_line: bytes, status: bytes, target: Target) -> None:
    async with target.raw(target.trusting) as (reader, writer):
        writer.write(request_line + b"\r\nAuthorization: Bearer token-a\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 20.0)
    assert answer.split(b" ")[1] == status


@pytest.mark.parametrize("more", [b"", b"Upgrade: h2c\r\n", b"Upgrade: websocket\r\nConnection: Upgrade\r\n"])
async def test_an_upgrade_that_is_no_websocket_leaves_nothing_open(more: bytes, target: Target) -> None:
    async with target.raw(target.trusting) as (reader, writer):
        path = messages.STREAM_PATH.encode()
        writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer token-a\r\n" + more + b"\r\n")
        with contextlib.suppress(ConnectionError):
            assert b" 101 " not in await asyncio.wait_for(reader.read(), 20.0)
    assert (target.server.open, target.server.door.streams.total) == ({}, 0)
    await still_serves(target)
    assert target.count("upgrades_rejected", code="400") == 1.0
