"""The programs that people use, against upstreams that people use."""

import asyncio
import gzip
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp import web


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    return web.Response(body=body, headers={"X-Method": request.method, "X-Digest": hashlib.sha256(body).hexdigest()})


async def events(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for number in range(5):
        await response.write(b"data: %d\n\n" % number)
        await asyncio.sleep(0.01)
    return response


async def zipped(_: web.Request) -> web.Response:
    return web.Response(body=gzip.compress(b"squeezed" * 1000), headers={"Content-Encoding": "gzip"})


async def talk(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data.upper())
    return socket


@asynccontextmanager
async def proxied_application(net: Any) -> AsyncIterator[str]:
    """The proxy's base URL in front of an aiohttp application."""
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/echo", echo)
    application.add_routes([web.get("/events", events), web.get("/zipped", zipped), web.get("/talk", talk)])
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        async with net.listening(net.pod_listener(f"http://127.0.0.1:{port}")) as proxy:
            yield f"http://127.0.0.1:{proxy.port}"
    finally:
        await runner.cleanup()


async def test_httpx_sends_and_streams(net: Any) -> None:
    body = bytes(range(256)) * 4096

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    async with proxied_application(net) as url, httpx.AsyncClient() as client:
        known = await client.post(url + "/echo", content=body)
        streamed = await client.put(url + "/echo", content=pieces())
        assert (known.content, streamed.content) == (body, body)
        assert streamed.headers["x-method"] == "PUT"
        assert (await client.get(url + "/zipped")).text == "squeezed" * 1000
        async with client.stream("GET", url + "/events") as response:
            lines = [line async for line in response.aiter_lines() if line]
        assert lines == [f"data: {number}" for number in range(5)]
        assert (await client.head(url + "/echo")).headers["x-method"] == "HEAD"


async def test_aiohttp_talks_over_a_websocket(net: Any) -> None:
    async with proxied_application(net) as url, aiohttp.ClientSession() as session:
        async with session.ws_connect(url + "/talk") as socket:
            for word in ("a", "b" * 100_000):
                await socket.send_str(word)
                assert await socket.receive_str() == word.upper()
        async with session.post(url + "/echo", data=io.BytesIO(b"x" * 3_000_000), expect100=True) as response:
            assert await response.read() == b"x" * 3_000_000


async def test_websockets_talks_over_a_websocket(net: Any) -> None:
    websockets = pytest.importorskip("websockets")
    async with proxied_application(net) as url, websockets.connect(url.replace("http", "ws") + "/talk") as socket:
        await socket.send("hello")
        assert await socket.recv() == "HELLO"


async def test_curl_uploads_after_100_continue(net: Any, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"y" * 2_000_000)
    async with proxied_application(net) as url:
        curl = await asyncio.create_subprocess_exec(
            *("curl", "-sS", "-v", "-H", "Expect: 100-continue", "--data-binary", f"@{tmp_path}/body", url + "/echo"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(curl.communicate(), 20)

    assert out == b"y" * 2_000_000
    assert b"< HTTP/1.1 100 Continue" in err
