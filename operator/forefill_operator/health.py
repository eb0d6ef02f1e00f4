"""Plain HTTP beside the stream: /healthz, /readyz and /metrics for everybody, /v1/explain for callers on loopback.

An explanation tells of every client by name. On a cluster loopback is inside the operator's pod, so that who may exec
into it may ask.
"""

import ipaddress
from collections.abc import Callable

from aiohttp import web

from forefill_operator.explanation.answers import Answer
from forefill_operator.metrics import CONTENT_TYPE


class Health:
    """`alive` and `ready` return None, or a sentence that says what is missing; the sentence is the body of a 503."""

    def __init__(
        self,
        expose: Callable[[], bytes],
        alive: Callable[[], str | None],
        ready: Callable[[], str | None],
        explain: Callable[[str, str], Answer] | None = None,
    ) -> None:
        self._expose = expose
        self._explain = explain
        self._alive = alive
        self._ready = ready
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; the port in use. Raises OSError when the address can't be had."""
        application = web.Application()
        application.router.add_get("/healthz", self._serve_alive)
        application.router.add_get("/readyz", self._serve_ready)
        application.router.add_get("/metrics", self._serve_metrics)
        if self._explain is not None:
            application.router.add_get("/v1/explain", self._serve_explanation)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve_alive(self, request: web.Request) -> web.Response:
        return _state(self._alive())

    async def _serve_ready(self, request: web.Request) -> web.Response:
        return _state(self._ready())

    async def _serve_metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._expose(), headers={"Content-Type": CONTENT_TYPE})

    async def _serve_explanation(self, request: web.Request) -> web.Response:
        # The name, too: a page in a browser may have made its own name lead to loopback.
        if not (_is_loopback(request.remote) and _is_loopback(request.url.host)):
            return web.json_response({"error": "explanations are given on loopback only"}, status=403)
        assert self._explain is not None
        answer = self._explain(request.query.get("policy", ""), request.query.get("client", ""))
        return web.Response(body=answer.body, status=answer.status, content_type="application/json")


def _is_loopback(address: str | None) -> bool:
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return address == "localhost"
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def _state(missing: str | None) -> web.Response:
    return web.Response(text=f"{missing or 'ok'}\n", status=503 if missing else 200)
