"""The admin port: health and metrics for kubelet and Prometheus, `/v1/*` for the pod's own processes.

`/v1/*` is answered only to peers on loopback, so that one port can serve both.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import parse_qs

import msgspec

from forefill_sidecar import answers, api_requests, metrics
from forefill_sidecar.line import Refusal
from forefill_sidecar.loop_lag import LoopLag
from forefill_sidecar.proxy.fields import BadHead
from forefill_sidecar.proxy.framing import BadBody, ChunkedFraming, Framing, LengthFraming
from forefill_sidecar.proxy.head import RequestHead, find_end, parse_request
from forefill_sidecar.proxy.listener import Listener

MAX_BODY_BYTES: Final = 64 * 1024
IDLE_SECONDS: Final = 60.0
MAX_CONNECTIONS: Final = 256


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """`path` without its query; `query` as sent."""

    head: RequestHead
    path: str
    query: str
    body: bytes
    is_local: bool


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
        self._servers: list[asyncio.Server] = []
        self._connections: set[_Connection] = set()
        self._routes: dict[tuple[str, str], Callable[[ApiRequest], Awaitable[bytes]]] = {
            ("GET", "/metrics"): self._metrics,
            ("GET", "/healthz"): self._healthz,
            ("GET", "/readyz"): self._readyz,
            ("POST", "/v1/acquire"): self._acquire,
            ("POST", "/v1/expect"): self._expect,
            ("GET", "/v1/rate"): self._rate,
        }

    async def start(self, host: str, port: int) -> None:
        """Listen on one more address. Raises OSError when it can't be had."""
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(lambda: _Connection(self), host, port))

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0)

    def joined(self, connection: "_Connection") -> bool:
        self._connections.add(connection)
        return len(self._connections) <= MAX_CONNECTIONS

    def left(self, connection: "_Connection") -> None:
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
        if not listener.expectations.declare(time.monotonic(), after_seconds, expect.for_seconds, expect.tokens):
            raise ApiError(
                429, "as much declared work is pending as a report carries; declare it later or in one piece"
            )
        return _document(
            202,
            policy=listener.policy,
            tokens=expect.tokens,
            after_seconds=round(after_seconds, 6),
            for_seconds=expect.for_seconds,
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


class _Connection(asyncio.Protocol):
    """One request at a time; what comes after it waits."""

    def __init__(self, api: LocalApi) -> None:
        self._api = api
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._head: RequestHead | None = None
        self._framing: Framing = LengthFraming(0)
        self._body = b""
        self._is_local = False
        self._answering: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._is_local = _is_loopback(peer) and _is_loopback(own)
        self._rest()
        if not self._api.joined(self):
            self.abort()

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        self._api.left(self)
        if self._idle is not None:
            self._idle.cancel()
        if self._answering is not None:
            self._answering.cancel()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > 2 * MAX_BODY_BYTES:
            self.abort()
        elif self._answering is None:
            self._read()

    def _rest(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self.abort)

    def _read(self) -> None:
        try:
            if self._head is None and not self._read_head():
                return
            taken = self._framing.feed(self._buffer)
            self._body += self._payload(self._buffer[:taken])
            self._buffer = self._buffer[taken:]
        except (BadHead, BadBody) as bad:
            self._end(answers.problem(getattr(bad, "status", 400), str(bad), is_last=True))
            return
        if len(self._body) > MAX_BODY_BYTES:
            self._end(answers.problem(413, f"the body is longer than {MAX_BODY_BYTES} bytes", is_last=True))
        elif self._framing.is_done:
            self._answering = asyncio.get_running_loop().create_task(self._answer())

    def _read_head(self) -> bool:
        end = find_end(self._buffer)
        if not end:
            return False
        head = self._head = parse_request(self._buffer[:end])
        self._buffer = self._buffer[end:]
        self._framing = ChunkedFraming(True) if head.is_chunked else LengthFraming(head.content_length or 0)
        if head.expects_continue:
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _payload(self, taken: bytes) -> bytes:
        return self._framing.take_payload() if isinstance(self._framing, ChunkedFraming) else taken

    async def _answer(self) -> None:
        head = cast(RequestHead, self._head)
        path, _, query = head.target.decode().partition("?")
        response = await self._api.respond(ApiRequest(head, path, query, self._body, self._is_local))
        self._answering, self._head, self._body = None, None, b""
        if not head.keeps_alive:
            self._end(response)
            return
        self._write(response)
        self._rest()
        if self._buffer:
            self._read()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _end(self, response: bytes) -> None:
        self._write(response)
        if self._transport is not None:
            self._transport.close()


def _is_loopback(address: tuple[str, int] | None) -> bool:
    return address is not None and (address[0].startswith("127.") or address[0] in ("::1", "::ffff:127.0.0.1"))
