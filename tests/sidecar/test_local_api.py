import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest

from forefill_protocol.messages import Expectation
from forefill_protocol.policysettings import CostRoute
from forefill_sidecar.api_connection import MAX_BODY_BYTES
from forefill_sidecar.forecast.season import Season
from forefill_sidecar.local_api import LocalApi
from forefill_sidecar.loop_lag import LoopLag
from forefill_sidecar.profile import Profile
from forefill_sidecar.proxy.listener import Listener

AWAY = "http://127.0.0.1:1"


@asynccontextmanager
async def serving_api(api: LocalApi) -> AsyncIterator[str]:
    """The base URL of this API."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    await api.start("127.0.0.1", port)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await api.close()


def serving(*listeners: Listener) -> AbstractAsyncContextManager[str]:
    """The base URL of an API over these listeners."""
    return serving_api(LocalApi(listeners, LoopLag()))


async def test_health_and_readiness_depend_on_neither_upstream_nor_operator(net: Any) -> None:
    async with (
        net.listening(net.pod_listener(AWAY)) as listener,
        serving(listener) as url,
        httpx.AsyncClient() as client,
    ):
        answers = [await client.get(url + path) for path in ("/healthz", "/readyz")]
        assert [(each.status_code, each.text) for each in answers] == [(200, "ok\n"), (200, "ok\n")]

        await listener.close()

        answers = [await client.get(url + path) for path in ("/healthz", "/readyz")]
        assert [(each.status_code, each.text) for each in answers] == [
            (200, "ok\n"),
            (503, "not listening for ns/llm\n"),
        ]


async def test_acquire_takes_tokens_or_says_when_to_come_back(net: Any) -> None:
    async with net.listening(net.pod_listener(AWAY, fill_rate=0.5, burst=10.0), tokens=5.0) as listener:
        async with serving(listener) as url, httpx.AsyncClient() as client:
            taken = await client.post(url + "/v1/acquire", json={"tokens": 5})
            refused = await client.post(url + "/v1/acquire", json={"tokens": 2, "wait_seconds": 0})

    assert (taken.status_code, taken.json()["policy"], taken.json()["tokens"]) == (200, "ns/llm", 5.0)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "4")
    assert refused.headers["ratelimit-policy"] == '"ns/llm";q=10;w=20'
    assert refused.json()["reason"] == "queue_full"


async def test_an_acquire_waits_in_line_and_leaves_it_with_its_client(net: Any) -> None:
    async with net.listening(net.pod_listener(AWAY, fill_rate=0.0), tokens=0.0) as listener, serving(listener) as url:
        port = int(url.rpartition(":")[2])
        async with net.connected(port) as (_, writer):
            writer.write(b"POST /v1/acquire HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            await net.until(lambda: listener.gate.waiting == 1)
        await net.until(lambda: listener.gate.waiting == 0)

        async with httpx.AsyncClient() as client:
            asking = asyncio.create_task(client.post(url + "/v1/acquire", json={}))
            await net.until(lambda: listener.gate.waiting == 1)
            listener.gate.add(listener.gate.bucket.updated_at, 1.0)
            assert (await asking).status_code == 200


async def test_expect_keeps_declared_work_for_the_next_report(net: Any) -> None:
    async with (
        net.listening(net.pod_listener(AWAY)) as listener,
        serving(listener) as url,
        httpx.AsyncClient() as client,
    ):
        taken = await client.post(url + "/v1/expect", json={"tokens": 500, "after_seconds": 60, "for_seconds": 30})
        wrong = await client.post(url + "/v1/expect", json={"tokens": 500, "at": "tomorrow"})

        assert taken.status_code == 202
        assert taken.json() == {
            "policy": "ns/llm",
            "tokens": 500.0,
            "after_seconds": 60.0,
            "for_seconds": 30.0,
            "reliability": 1.0,
        }
        assert (wrong.status_code, wrong.json()["detail"]) == (400, "at is 'tomorrow'; it is no ISO 8601 time")
        declared = listener.expectations.pending[0].starts_at - 60.0
        assert listener.expectations.coming(declared) == [Expectation(60.0, 30.0, 500.0)]


async def test_rate_tells_what_holds_now(net: Any) -> None:
    async with net.listening(net.pod_listener(AWAY, fill_rate=0.0, burst=10.0), tokens=4.0) as listener:
        async with serving(listener) as url, httpx.AsyncClient() as client:
            answer = await client.get(url + "/v1/rate", params={"policy": "ns/llm"})

    assert answer.json() == {
        "policy": "ns/llm",
        "mode": "Enforce",
        "fill_rate": 0.0,
        "burst": 10.0,
        "tokens": 4.0,
        "waiting_requests": 0,
        "waiting_tokens": 0.0,
    }


async def test_the_profile_shows_what_requests_look_like(net: Any) -> None:
    async with net.listening(net.pod_listener(AWAY)) as listener, httpx.AsyncClient() as client:
        api, profile = LocalApi([listener], LoopLag()), Profile(Season())
        for second in (1.0, 3.0):
            profile.arrivals.add(second, 0, 100.0, 4.0)
        profile.take([CostRoute("/v1/chat", 4.0)])
        profile.window(0.8, requests=2, seconds=10.0)
        profile.arrivals.add_user(b"ann", 4.0)
        async with serving_api(api) as url:
            missing = await client.get(url + "/v1/profile")
            api.profiles = {"ns/llm": profile}
            found = await client.get(url + "/v1/profile?policy=ns/llm")
        assert (missing.status_code, missing.json()["detail"]) == (
            404,
            "ns/llm has no profile; a sidecar keeps one when an operator guides it",
        )
        (user,) = profile.user_shares()
        assert found.json() == {
            "policy": "ns/llm",
            "requests_per_second": 0.2,
            "interarrival_seconds": {"mean": 2.0, "p50": 2.0, "p95": 2.0},
            "request_bytes": {"mean": 100.0, "p50": 100.0, "p95": 100.0},
            "cost": {"mean": 4.0, "p50": 4.0, "p95": 4.0},
            "routes": {"/v1/chat": 1.0},
            "users": {user: 1.0},
        }


async def test_a_pod_of_two_policies_must_name_one(net: Any) -> None:
    async with (
        net.listening(net.pod_listener(AWAY)) as one,
        net.listening(net.pod_listener(AWAY, policy="ns/db")) as two,
    ):
        async with serving(one, two) as url, httpx.AsyncClient() as client:
            unnamed = await client.post(url + "/v1/acquire", json={})
            named = await client.post(url + "/v1/acquire", json={"policy": "ns/db"})

    assert (unnamed.status_code, unnamed.json()["detail"]) == (400, "policy is ''; this pod has ns/llm, ns/db")
    assert named.json()["policy"] == "ns/db"


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/nothing", 404, "there is no /nothing; there are "),
        ("GET", "/v1/acquire", 405, "/v1/acquire takes POST only"),
        ("DELETE", "/metrics", 405, "/metrics takes GET only"),
        ("GET", "/v1/rate?policy=ns/other", 400, "policy is 'ns/other'; this pod has ns/llm"),
    ],
)
async def test_what_is_not_there_is_said_in_a_sentence(
    net: Any, method: str, path: str, status: int, detail: str
) -> None:
    async with (
        net.listening(net.pod_listener(AWAY)) as listener,
        serving(listener) as url,
        httpx.AsyncClient() as client,
    ):
        answer = await client.request(method, url + path)

    assert answer.status_code == status
    assert answer.json()["detail"].startswith(detail)


@pytest.mark.parametrize("kind", ["length", "chunked"])
async def test_a_body_that_is_too_long_is_refused(net: Any, kind: str) -> None:
    body = b"x" * (MAX_BODY_BYTES + 1)

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    async with (
        net.listening(net.pod_listener(AWAY)) as listener,
        serving(listener) as url,
        httpx.AsyncClient() as client,
    ):
        answer = await client.post(url + "/v1/acquire", content=body if kind == "length" else pieces())

    assert answer.status_code == 413


async def test_bad_http_is_refused_here_too(net: Any) -> None:
    async with net.listening(net.pod_listener(AWAY)) as listener, serving(listener) as url:
        data = await net.exchanged(int(url.rpartition(":")[2]), b"GET /healthz HTTP/1.1\nHost: a\n\n")

    assert data.startswith(b"HTTP/1.1 400 Bad Request\r\n")


async def test_the_pods_own_api_is_closed_to_others(net: Any) -> None:
    """A peer that reaches the port over an address that isn't loopback stands for anyone outside the pod."""
    try:
        with socket.socket(type=socket.SOCK_DGRAM) as probe:
            probe.connect(("198.51.100.1", 9))  # Sends nothing; the kernel picks the address it would send from.
            outside = probe.getsockname()[0]
    except OSError:
        pytest.skip("this machine has no address but loopback")
    async with net.listening(net.pod_listener(AWAY)) as listener:
        api = LocalApi([listener], LoopLag())
        with socket.socket() as free:
            free.bind((outside, 0))
            port = free.getsockname()[1]
        await api.start(outside, port)
        async with httpx.AsyncClient() as client:
            acquire = await client.post(f"http://{outside}:{port}/v1/acquire", json={})
            health = await client.get(f"http://{outside}:{port}/healthz")
        await api.close()

    assert (acquire.status_code, health.status_code) == (403, 200)


async def test_metrics_come_in_both_formats(net: Any) -> None:
    async with net.listening(net.pod_listener(AWAY), tokens=5.0) as listener, serving(listener) as url:
        async with httpx.AsyncClient() as client:
            await client.post(url + "/v1/acquire", json={"tokens": 3})
            plain = await client.get(url + "/metrics")
            modern = await client.get(url + "/metrics", headers={"Accept": "application/openmetrics-text;q=1"})

    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE forefill_sidecar_offered_tokens_total counter\n" in plain.text
    assert 'forefill_sidecar_offered_tokens_total{policy="ns/llm"} 3\n' in plain.text
    assert modern.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert "# TYPE forefill_sidecar_offered_tokens counter\n" in modern.text
    assert modern.text.endswith("# EOF\n")
