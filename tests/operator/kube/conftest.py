"""A pod, a policy and small servers that the tests of the Kubernetes edges share."""

import asyncio
import copy
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from forefill_operator import schema
from forefill_operator.kube.api import Api
from forefill_operator.kube.credentials import Credentials
from forefill_operator.kube.listeners import Candidate
from forefill_operator.kube.sidecar import Surface
from forefill_operator.policy import parse_policy

Object = dict[str, Any]

SURFACE = Surface(
    image="ghcr.io/forefill/sidecar:0.1.0",
    operator="wss://forefill-operator.forefill.svc:8443/v1/stream",
    ca_bundle="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    resources={"requests": {"cpu": "10m"}},
)


@pytest.fixture
def surface() -> Surface:
    return SURFACE


@pytest.fixture
def manifest() -> Callable[..., Object]:
    """TokenPolicy NAMESPACE/NAME as the API server stores it, with `spec` over the least that is needed."""

    def make(key: str = "shop/llm", counted: int = 0, **spec: Any) -> Object:
        namespace, _, name = key.partition("/")
        least = {
            "upstream": {"url": "http://llm.ai.svc:8000"},
            "inject": {"env": [{"name": "OPENAI_BASE_URL", "path": "/v1"}]},
            "fillRate": {"base": 50, "min": 20, "max": 400},
        }
        return schema.complete(
            {
                "apiVersion": "forefill.io/v1alpha1",
                "kind": "TokenPolicy",
                "metadata": {"name": name, "namespace": namespace, "uid": f"uid-of-{name}", "generation": 3},
                "spec": {**least, **copy.deepcopy(spec)},
                "status": {"clients": counted},
            }
        )

    return make


@pytest.fixture
def candidate(manifest: Callable[..., Object]) -> Callable[..., Candidate]:
    def make(key: str = "shop/llm", counted: int = 0, **spec: Any) -> Candidate:
        return Candidate(parse_policy(manifest(key, counted, **spec)), counted)

    return make


@pytest.fixture
def pod() -> Callable[..., Object]:
    """A pod that asks for a sidecar; `spec` and `annotations` go over the least that is needed."""

    def make(annotations: dict[str, str] | None = None, labels: dict[str, str] | None = None, **spec: Any) -> Object:
        metadata: Object = {
            "generateName": "web-",
            "annotations": {"forefill.io/inject": "true", **(annotations or {})},
        }
        if labels is not None:
            metadata["labels"] = labels
        least = {"containers": [{"name": "app", "image": "app:1"}]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**least, **copy.deepcopy(spec)}}

    return make


@pytest.fixture
def trusting() -> Callable[[bytes], ssl.SSLContext]:
    """A client's context that trusts one PEM bundle and speaks TLS 1.3."""

    def make(bundle: bytes) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=bundle.decode())
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context

    return make


Answer = tuple[int, Any]


@dataclass
class ApiServer:
    """A small HTTP server that answers as it is told: `answers` by method and path, 404 for all else.

    Lists that are watched are sent from `events`; None ends a watch.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    events: "asyncio.Queue[Object | None]" = field(default_factory=asyncio.Queue)
    patched: Callable[[str, Any], None] = lambda path, body: None
    url: str = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        call = f"{request.method} {request.path}"
        body = await request.text()
        self.requests.append((call, json.loads(body) if body else None))
        self.queries.append(dict(request.query))
        self.headers.append(dict(request.headers))
        if "watch" in request.query:
            return await self._watch(request)
        status, answer = self.answers.get(call, (404, {"reason": "NotFound", "message": f"no {request.path}"}))
        if request.method == "PATCH" and status == 200:
            self.patched(request.path, json.loads(body))
        if isinstance(answer, bytes):
            return web.Response(status=status, body=answer)
        return web.json_response(answer, status=status)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while (event := await self.events.get()) is not None:
            await response.write(json.dumps(event).encode() + b"\n")
        return response

    def asked(self, call: str) -> list[Any]:
        """The bodies of all requests of this method and path."""
        return [body for made, body in self.requests if made == call]


@pytest.fixture
async def api_server() -> AsyncIterator[ApiServer]:
    told = ApiServer()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", told.serve)
    async with TestServer(application) as server:
        told.url = str(server.make_url("")).rstrip("/")
        yield told
        told.events.put_nowait(None)


@pytest.fixture
async def api(api_server: ApiServer) -> AsyncIterator[Api]:
    credentials = Credentials(api_server.url, ssl.create_default_context(), token="mine")
    async with Api(credentials) as connected:
        yield connected


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Wait until a condition holds, which the loop brings about by itself."""

    async def wait(condition: Callable[[], bool]) -> None:
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)

    return wait
