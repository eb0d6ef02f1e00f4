"""Attempts at the injector's webhook, which anybody in the cluster can reach: an answer is all that anybody gets."""

import base64
import io
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from forefill_operator import schema
from forefill_operator.kube.api import Api
from forefill_operator.kube.credentials import Credentials
from forefill_operator.kube.injector_metrics import InjectorMetrics
from forefill_operator.kube.policy_cache import PolicyCache
from forefill_operator.kube.sidecar import Surface
from forefill_operator.kube.webhook import LONGEST_REVIEW, PATH, Webhook

SURFACE = Surface("sidecar:1", "wss://forefill-operator.forefill.svc:8443/v1/stream", "PEM")


@pytest.fixture
async def calls() -> list[str]:
    """Every call that reached the API server."""
    return []


@pytest.fixture
async def webhook(calls: list[str], say: Any) -> AsyncIterator[TestServer]:
    """The injector's application over an API server that has one policy, shop/llm."""

    async def serve(request: web.Request) -> web.Response:
        calls.append(f"{request.method} {request.path}")
        policy = schema.complete(say.manifest())
        if request.path.endswith("/namespaces/shop/tokenpolicies/llm"):
            return web.json_response(policy)
        items = [policy] if "/namespaces/shop/" in request.path else []
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", serve)
    async with TestServer(application) as server:
        credentials = Credentials(str(server.make_url("")).rstrip("/"), ssl.create_default_context())
        async with Api(credentials) as api:
            served = Webhook(PolicyCache(api), lambda: SURFACE, InjectorMetrics())
            async with TestServer(served.application()) as attacked:
                yield attacked


def review(namespace: str = "shop", **pod: Any) -> Any:
    whole = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "annotations": {"forefill.io/inject": "true"}},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        **pod,
    }
    request = {"uid": "1", "namespace": namespace, "operation": "CREATE", "object": whole}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


async def post(webhook: TestServer, body: bytes) -> tuple[int, Any]:
    async with ClientSession() as session, session.post(webhook.make_url(PATH), data=io.BytesIO(body)) as response:
        text = await response.text()
        return response.status, json.loads(text) if text.startswith("{") else text


async def test_a_review_that_nobody_sent_for_changes_nothing(webhook: TestServer, calls: list[str]) -> None:
    """What a stranger learns is where the operator is and its public certificate; nothing is written anywhere."""
    status, answer = await post(webhook, json.dumps(review()).encode())
    assert (status, answer["response"]["allowed"]) == (200, True)
    patch = base64.b64decode(answer["response"]["patch"]).decode()
    assert "forefill" in patch
    assert {call.split()[0] for call in calls} == {"GET"}


async def test_a_spoofed_review_may_not_name_another_namespaces_policy(webhook: TestServer) -> None:
    pod = {"metadata": {"name": "x", "annotations": {"forefill.io/inject": "true", "forefill.io/policy": "shop/llm"}}}
    _, answer = await post(webhook, json.dumps(review("elsewhere", **pod)).encode())
    patch = base64.b64decode(answer["response"].get("patch", "")).decode()
    assert "initContainers" not in patch
    assert "llm.ai.svc" not in patch
    assert "does not admit" in answer["response"]["warnings"][0]


async def test_a_policy_in_the_review_itself_is_not_believed(webhook: TestServer) -> None:
    body = review()
    body["request"]["policies"] = [{"upstream": {"url": "http://attacker"}}]
    body["request"]["object"]["metadata"]["annotations"]["forefill.io/upstream"] = "http://attacker"
    body["request"]["object"]["metadata"]["annotations"]["forefill.io/status"] = '{"upstream": "http://attacker"}'
    _, answer = await post(webhook, json.dumps(body).encode())
    assert b"attacker" not in base64.b64decode(answer["response"].get("patch", ""))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"apiVersion": "admission.k8s.io/v1", "request": null}',
        b'{"apiVersion": "v1", "request": {"object": {"kind": "Pod"}}}',
        json.dumps(review(spec=[])).encode(),
        json.dumps(review(kind="Secret")).encode(),
    ],
)
async def test_what_is_no_review_of_a_pod_is_refused(body: bytes, webhook: TestServer, calls: list[str]) -> None:
    assert (await post(webhook, body))[0] == 400
    assert calls == []


async def test_a_review_that_is_nested_without_end_is_refused(webhook: TestServer) -> None:
    status, _ = await post(webhook, b'{"request":' * 100_000 + b"1" + b"}" * 100_000)
    assert status == 400


async def test_a_review_larger_than_the_api_servers_is_not_read(webhook: TestServer, calls: list[str]) -> None:
    status, _ = await post(webhook, b" " * (LONGEST_REVIEW + 1))
    assert status == 413
    assert calls == []
