import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from forefill_sidecar.client import BadRequest, Forefill, Refused
from forefill_sidecar.local_api import LocalApi
from forefill_sidecar.loop_lag import LoopLag
from forefill_sidecar.proxy.listener import Listener


@asynccontextmanager
async def sidecar(net: Any, tokens: float) -> AsyncIterator[tuple[Listener, Forefill]]:
    """A sidecar that earns nothing, and its client."""
    settings = net.pod_listener("http://127.0.0.1:1", fill_rate=0.0, burst=10.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with net.listening(settings, tokens=tokens) as listener:
        api = LocalApi([listener], LoopLag())
        await api.start("127.0.0.1", port)
        try:
            yield listener, Forefill(url=f"http://127.0.0.1:{port}")
        finally:
            await api.close()


async def test_acquire_takes_tokens_and_refusals_say_when_to_come_back(net: Any) -> None:
    async with sidecar(net, tokens=7.0) as (listener, forefill):
        await forefill.acquire_async(3)
        await asyncio.to_thread(forefill.acquire, 4)
        assert listener.gate.bucket.tokens == 0.0
        with pytest.raises(Refused, match="No tokens are left") as refused:
            await forefill.acquire_async(1, wait_seconds=0)
        assert refused.value.retry_after_seconds == 10.0
        with pytest.raises(Refused):
            await asyncio.to_thread(forefill.acquire, 1, 0)


async def test_a_cancelled_acquire_leaves_the_line(net: Any) -> None:
    async with sidecar(net, tokens=0.0) as (listener, forefill):
        asking = asyncio.create_task(forefill.acquire_async(1))
        await net.until(lambda: listener.gate.waiting == 1)
        asking.cancel()
        await net.until(lambda: listener.gate.waiting == 0)


async def test_expect_declares_work(net: Any) -> None:
    async with sidecar(net, tokens=0.0) as (listener, forefill):
        await asyncio.to_thread(forefill.expect, 50, 60.0, 10.0)
        assert [each.tokens for each in listener.expectations.coming(time.monotonic())] == [50.0]
        await asyncio.to_thread(forefill.expect, 70, 60.0, 10.0, None, "nightly", "cron")
        await asyncio.to_thread(forefill.expect, 80, 90.0, 10.0, None, "nightly", "cron")
        assert [each.tokens for each in listener.expectations.coming(time.monotonic())] == [50.0, 80.0]
        with pytest.raises(BadRequest, match="at is 'soon'; it is no ISO 8601 time"):
            await asyncio.to_thread(forefill.expect, 50, None, 10.0, "soon")


async def test_decorated_functions_take_tokens_first(net: Any) -> None:
    async with sidecar(net, tokens=10.0) as (listener, forefill):

        @forefill.limited(tokens=2)
        def plain(x: int) -> int:
            return x + 1

        @forefill.limited(tokens=3)
        async def coroutine(x: int) -> int:
            return x + 2

        assert await asyncio.to_thread(plain, 1) == 2
        assert await coroutine(1) == 3
        assert listener.gate.bucket.tokens == 5.0


async def test_hooks_take_tokens_before_each_request(net: Any) -> None:
    requests = pytest.importorskip("requests")
    async with net.upstream_of(net.answering(net.OK)) as upstream, sidecar(net, tokens=10.0) as (listener, forefill):
        async with httpx.AsyncClient(event_hooks=forefill.httpx_async_hooks(tokens=2)) as client:
            assert (await client.get(upstream.url)).text == "ok"
        assert listener.gate.bucket.tokens == 8.0

        def blocking() -> None:
            with httpx.Client(event_hooks=forefill.httpx_hooks()) as client:
                assert client.get(upstream.url).text == "ok"
            with requests.Session() as session:
                session.mount("http://", forefill.requests_adapter(tokens=3))
                assert session.get(upstream.url).text == "ok"

        await asyncio.to_thread(blocking)
        assert listener.gate.bucket.tokens == 4.0


async def test_without_a_sidecar_there_is_a_connection_error() -> None:
    forefill = Forefill(url="http://127.0.0.1:1")

    with pytest.raises(ConnectionRefusedError):
        await forefill.acquire_async()
    with pytest.raises(ConnectionRefusedError):
        forefill.expect(1)
