"""For applications in the pod: take tokens from their sidecar, and declare work to come.

    from forefill_sidecar.client import Forefill
    forefill = Forefill()

    forefill.acquire(5)                       # waits in the sidecar's line; raises Refused when turned away
    await forefill.acquire_async(5)
    forefill.expect(2000, after_seconds=60, for_seconds=30)

    @forefill.limited(tokens=2)               # works on functions and on coroutine functions
    def send(mail): ...

    httpx.Client(event_hooks=forefill.httpx_hooks())                # an AsyncClient takes httpx_async_hooks()
    session.mount("https://", forefill.requests_adapter())          # requests

Only the standard library is needed; httpx and requests are touched only by whoever passes their hooks on.
"""

import asyncio
import functools
import http.client
import inspect
import json
import os
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

VARIABLE = "FOREFILL_ADMIN_URL"
DEFAULT_URL = "http://127.0.0.1:17020"
# What the sidecar may take longer to answer than the longest wait that a policy sets.
MARGIN_SECONDS = 5.0
MAX_WAIT_SECONDS = 600.0

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Refused(Exception):
    """The tokens were not there in time; they will be in `retry_after_seconds` if nobody else takes them."""

    def __init__(self, detail: str, retry_after_seconds: float) -> None:
        super().__init__(f"{detail} Try again in {retry_after_seconds:g} s.")
        self.retry_after_seconds = retry_after_seconds


class BadRequest(ValueError):
    """The sidecar can't make sense of what it was asked; the message is its sentence."""


class Forefill:
    """Talks to the sidecar's admin port. `policy` may be left out where the pod has only one."""

    def __init__(self, policy: str = "", url: str | None = None) -> None:
        self._policy = policy
        self._url = urlsplit(url or os.environ.get(VARIABLE, DEFAULT_URL))

    def acquire(self, tokens: float = 1.0, wait_seconds: float | None = None, urgency: int = 3) -> float:
        """Wait for tokens; answers the seconds waited. Raises Refused, BadRequest, or OSError without a sidecar."""
        document = {"tokens": tokens, "policy": self._policy, "wait_seconds": wait_seconds, "urgency": urgency}
        timeout = (MAX_WAIT_SECONDS if wait_seconds is None else wait_seconds) + MARGIN_SECONDS
        waited: float = self._post("/v1/acquire", document, timeout)["waited_seconds"]
        return waited

    async def acquire_async(self, tokens: float = 1.0, wait_seconds: float | None = None, urgency: int = 3) -> float:
        """`acquire` without blocking the event loop; a cancelled call leaves the line."""
        document = {"tokens": tokens, "policy": self._policy, "wait_seconds": wait_seconds, "urgency": urgency}
        timeout = (MAX_WAIT_SECONDS if wait_seconds is None else wait_seconds) + MARGIN_SECONDS
        answer = await asyncio.wait_for(self._post_async("/v1/acquire", document), timeout)
        waited: float = answer["waited_seconds"]
        return waited

    def expect(
        self,
        tokens: float,
        after_seconds: float | None = None,
        for_seconds: float = 1.0,
        at: str | None = None,
        id: str = "",
        by: str = "",
    ) -> None:
        """Declare work to come: `tokens` in all, from `at` (ISO 8601 with offset) or in `after_seconds`.

        The same `id` again replaces what was said before. What `by` declares counts as far as it came true so far.
        """
        document = {"tokens": tokens, "policy": self._policy, "for_seconds": for_seconds, "id": id, "by": by}
        document |= {"after_seconds": after_seconds, "at": at}
        self._post("/v1/expect", document, MARGIN_SECONDS)

    def limited(self, tokens: float = 1.0, wait_seconds: float | None = None) -> Callable[[_Function], _Function]:
        """A decorator: each call takes `tokens` first."""

        def decorate(function: _Function) -> _Function:
            if inspect.iscoroutinefunction(function):

                @functools.wraps(function)
                async def limited_coroutine(*args: Any, **kwargs: Any) -> Any:
                    await self.acquire_async(tokens, wait_seconds)
                    return await function(*args, **kwargs)

                return limited_coroutine  # type: ignore[return-value]

            @functools.wraps(function)
            def limited_function(*args: Any, **kwargs: Any) -> Any:
                self.acquire(tokens, wait_seconds)
                return function(*args, **kwargs)

            return limited_function  # type: ignore[return-value]

        return decorate

    def httpx_hooks(self, tokens: float = 1.0) -> dict[str, list[Callable[..., Any]]]:
        """Event hooks for an httpx.Client: each request takes `tokens` first."""

        def before(_request: Any) -> None:
            self.acquire(tokens)

        return {"request": [before]}

    def httpx_async_hooks(self, tokens: float = 1.0) -> dict[str, list[Callable[..., Any]]]:
        """Event hooks for an httpx.AsyncClient."""

        async def before(_request: Any) -> None:
            await self.acquire_async(tokens)

        return {"request": [before]}

    def requests_adapter(self, tokens: float = 1.0) -> Any:
        """An adapter to mount into a requests.Session. Raises ImportError without requests."""
        from requests.adapters import HTTPAdapter

        acquire = self.acquire

        class LimitedAdapter(HTTPAdapter):
            def send(self, *args: Any, **kwargs: Any) -> Any:
                acquire(tokens)
                return super().send(*args, **kwargs)

        return LimitedAdapter()

    def _post(self, path: str, document: dict[str, Any], timeout: float) -> Any:
        connection = http.client.HTTPConnection(self._url.hostname or "", self._url.port or 80, timeout=timeout)
        try:
            connection.request("POST", path, json.dumps(document), {"Content-Type": "application/json"})
            response = connection.getresponse()
            return _read(response.status, response.read())
        finally:
            connection.close()

    async def _post_async(self, path: str, document: dict[str, Any]) -> Any:
        reader, writer = await asyncio.open_connection(self._url.hostname, self._url.port or 80)
        try:
            body = json.dumps(document).encode()
            head = f"POST {path} HTTP/1.1\r\nHost: {self._url.netloc}\r\nContent-Length: {len(body)}\r\n"
            writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
            answer_head, _, answer = (await reader.read()).partition(b"\r\n\r\n")
            if not answer_head:
                raise ConnectionResetError("the sidecar closed the connection without an answer")
            return _read(int(answer_head.split(b" ", 2)[1]), answer)
        finally:
            writer.close()


def _read(status: int, body: bytes) -> Any:
    document = json.loads(body)
    if status == 429:
        raise Refused(document["detail"], document.get("retry_after_seconds", 1.0))
    if status >= 400:
        raise BadRequest(document["detail"])
    return document
