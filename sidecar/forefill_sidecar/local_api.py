"""The admin port: health and metrics for kubelet and Prometheus, `/v1/*` for the pod's own processes.

`/v1/*` is answered only to peers on loopback, so that one port can serve both.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import parse_qs

import msgspec

from forefill_sidecar import answers, api_requests, metrics
from forefill_sidecar.api_connection import ApiConnection, ApiRequest
from forefill_sidecar.line import Refusal
from forefill_sidecar.loop_lag import LoopLag
from forefill_sidecar.proxy.listener import Listener

if TYPE_CHECKING:
    from forefill_sidecar.profile import Profile

MAX_CONNECTIONS: Final = 256


class ApiError(Exception):
    """Answered as a problem document."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class LocalApi:
    """Answers for all listeners of the sidecar; may be started on several addresses."""

    def __init__(self, listeners: Sequence[Listener], lag: LoopLag) -> None:
        self._listeners = listeners
        self._lag = lag
        self.more_families: Callable[[], Sequence[metrics.Family]] = tuple
        self.profiles: Mapping[str, Profile] = {}
        self._servers: list[asyncio.Server] = []
        self._connections: set[ApiConnection] = set()
        self._routes: dict[tuple[str, str], Callable[[ApiRequest], Awaitable[bytes]]] = {
            ("GET", "/metrics"): self._metrics,
            ("GET", "/healthz"): self._healthz,
            ("GET", "/readyz"): self._readyz,
            ("POST", "/v1/acquire"): self._acquire,
            ("POST", "/v1/expect"): self._expect,
            ("GET", "/v1/rate"): self._rate,
            ("GET", "/v1/profile"): self._profile,
        }

    async def start(self, host: str, port: int) -> None:
        """Listen on one more address. Raises OSError when it can't be had."""
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(lambda: ApiConnection(self), host, port))

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0)

    def joined(self, connection: ApiConnection) -> bool:
        self._connections.add(connection)
        return len(self._connections) <= MAX_CONNECTIONS

    def left(self, connection: ApiConnection) -> None:
        self._connections.discard(connection)

    async def respond(self, request: ApiRequest) -> bytes:
        """A whole response."""
        method = request.head.method.decode()
        try:
            route = self._routes.get(("GET" if method == "HEAD" else method, request.path))
            if route is None:
                self._no_route(request.path)
            if request.path.startswith("/v1/") and not request.is_local:
                raise ApiError(403, "this path is served to the pod's own processes only")
            response = await cast(Callable[[ApiRequest], Awaitable[bytes]], route)(request)
        except ApiError as error:
            response = answers.problem(error.status, error.sentence, is_last=False)
        return response[: response.index(b"\r\n\r\n") + 4] if method == "HEAD" else response

    def _no_route(self, path: str) -> None:
        methods = [method for method, known in self._routes if known == path]
        if methods:
            raise ApiError(405, f"{path} takes {' and '.join(methods)} only")
        raise ApiError(404, f"there is no {path}; there are {', '.join(known for _, known in self._routes)}")

    async def _metrics(self, request: ApiRequest) -> bytes:
        is_open_metrics = b"application/openmetrics-text" in (request.head.field(b"accept") or b"")
        families = [*metrics.collect(self._listeners, self._lag), *self.more_families()]
        content_type = metrics.OPEN_METRICS if is_open_metrics else metrics.PLAIN
        return answers.answer(200, metrics.render(families, is_open_metrics), content_type, is_last=False)

    async def _healthz(self, _: ApiRequest) -> bytes:
        return answers.answer(200, b"ok\n", "text/plain", is_last=False)

    async def _readyz(self, _: ApiRequest) -> bytes:
        """Ready means listening; neither the operator nor the upstream can take a pod out of service."""
        silent = [each.policy for each in self._listeners if not each.is_listening]
        if silent:
            return answers.answer(503, f"not listening for {', '.join(silent)}\n".encode(), "text/plain", is_last=False)
        return answers.answer(200, b"ok\n", "text/plain", is_last=False)

    async def _acquire(self, request: ApiRequest) -> bytes:
        acquire = _read(request.body, api_requests.Acquire)
        listener = self._listener(acquire.policy)
        gate = listener.gate
        asked_at = time.monotonic()
        wait_seconds = float("inf") if acquire.wait_seconds is None else acquire.wait_seconds
        verdict = await gate.acquire(acquire.tokens, wait_seconds, acquire.urgency)
        now = time.monotonic()
        if isinstance(verdict, Refusal):
            bucket = gate.bucket
            tokens = bucket.tokens_at(now)
            return answers.refusal(verdict, listener.policy, bucket.fill_rate, bucket.burst, tokens, is_last=False)
        return _document(200, policy=listener.policy, tokens=acquire.tokens, waited_seconds=round(now - asked_at, 6))

    async def _expect(self, request: ApiRequest) -> bytes:
        expect = _read(request.body, api_requests.Expect)
        listener = self._listener(expect.policy)
        try:
            after_seconds = api_requests.seconds_ahead(expect, time.time())
        except ValueError as error:
            raise ApiError(400, str(error)) from None
        expectations, now = listener.expectations, time.monotonic()
        if not expectations.declare(now, after_seconds, expect.for_seconds, expect.tokens, expect.id, expect.by):
            raise ApiError(
                429, "as much declared work is pending as a report carries; declare it later or in one piece"
            )
        return _document(
            202,
            policy=listener.policy,
            tokens=expect.tokens,
            after_seconds=round(after_seconds, 6),
            for_seconds=expect.for_seconds,
            reliability=round(expectations.belief(now, expect.by), 3),
        )

    async def _profile(self, request: ApiRequest) -> bytes:
        listener = self._listener(parse_qs(request.query).get("policy", [""])[0])
        profile = self.profiles.get(listener.policy)
        if profile is None:
            raise ApiError(404, f"{listener.policy} has no profile; a sidecar keeps one when an operator guides it")
        return _document(
            200,
            policy=listener.policy,
            requests_per_second=profile.requests_per_second(),
            interarrival_seconds=profile.interarrival_seconds(),
            request_bytes=profile.request_bytes(),
            cost=profile.cost(),
            routes=profile.route_shares(),
            users=profile.user_shares(),
        )

    async def _rate(self, request: ApiRequest) -> bytes:
        listener = self._listener(parse_qs(request.query).get("policy", [""])[0])
        gate = listener.gate
        return _document(
            200,
            policy=listener.policy,
            mode=gate.mode,
            fill_rate=gate.bucket.fill_rate,
            burst=gate.bucket.burst,
            tokens=gate.bucket.tokens_at(time.monotonic()),
            waiting_requests=gate.waiting,
            waiting_tokens=gate.meter.backlog,
        )

    def _listener(self, policy: str) -> Listener:
        names = [each.policy for each in self._listeners]
        if not policy and len(names) == 1:
            return self._listeners[0]
        if policy not in names:
            raise ApiError(400, f"policy is {policy!r}; this pod has {', '.join(names)}")
        return self._listeners[names.index(policy)]


def _read(body: bytes, kind: "type[api_requests.Read]") -> "api_requests.Read":
    try:
        return api_requests.read(body, kind)
    except ValueError as error:
        raise ApiError(400, str(error)) from None


def _document(status: int, **members: object) -> bytes:
    return answers.answer(status, msgspec.json.encode(members) + b"\n", "application/json", is_last=False)
