"""The few calls to the Kubernetes API that Forefill makes, on aiohttp."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal, Self

import aiohttp
from msgspec import Struct

from forefill_operator.kube.credentials import Credentials

Object = dict[str, Any]
Query = Mapping[str, str] | None

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON = "application/json-patch+json"

_OBJECTS = "application/json"
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

_CALL = aiohttp.ClientTimeout(total=10.0, sock_connect=3.0)
WATCH_SECONDS = 300
# The server closes a watch after WATCH_SECONDS and sends a bookmark once a minute: a longer silence is a dead peer.
_WATCH = aiohttp.ClientTimeout(total=None, sock_connect=3.0, sock_read=75.0)
_PAGE = 500
# Above what an API server stores in one object, so that only a broken stream reaches it.
_LONGEST_LINE = 8 * 1024 * 1024


class ApiError(Exception):
    """The API server's answer was no. `status` is HTTP's, `reason` Kubernetes' word, such as NotFound."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason


class Away(ApiError):
    """No answer, or one that only says to come back: no connection, time-out, 429, 5xx."""


class NotFound(ApiError):
    """404."""


class Conflict(ApiError):
    """409: someone else was first."""


class Expired(ApiError):
    """410: the resourceVersion is too old; list again."""


_ERRORS: Mapping[int, type[ApiError]] = {404: NotFound, 409: Conflict, 410: Expired, 429: Away}


class Listing(Struct, frozen=True):
    """All objects at one moment; a watch goes on from `resource_version`."""

    items: list[Object]
    resource_version: str


class Event(Struct, frozen=True):
    """One change. A BOOKMARK only carries a newer resourceVersion."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: Object


def path(api_version: str, plural: str, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """The path of a resource: path("v1", "pods", "default", "web-0") is /api/v1/namespaces/default/pods/web-0."""
    root = "/apis" if "/" in api_version else "/api"
    scope = f"/namespaces/{namespace}" if namespace else ""
    return "/".join(part for part in (f"{root}/{api_version}{scope}/{plural}", name, subresource) if part)


class Api:
    """One API server. Every call raises ApiError or one of its kinds. Use as an async context manager."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self.credentials.context)
        self._session = aiohttp.ClientSession(connector=connector, timeout=_CALL)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, path: str, **query: str) -> Object:
        return await self._call("GET", path, query=query)

    async def text(self, path: str, **query: str) -> str:
        """A log, or a page of a pod's through the API server."""
        try:
            url = self.credentials.server + path
            async with self._session.get(url, params=query, headers=self.credentials.headers()) as response:
                content = await response.read()
                if response.status >= 400:
                    raise _error(response.status, content)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _away(error) from None
        return content.decode(errors="replace")

    async def create(self, path: str, body: Object) -> Object:
        return await self._call("POST", path, body)

    async def replace(self, path: str, body: Object) -> Object:
        """Conflict when `body` carries a resourceVersion that is not the newest."""
        return await self._call("PUT", path, body)

    async def patch(self, path: str, body: Any, kind: str = MERGE) -> Object:
        return await self._call("PATCH", path, body, kind)

    async def delete(self, path: str) -> Object:
        return await self._call("DELETE", path)

    async def list(self, path: str, *, metadata_only: bool = False, **query: str) -> Listing:
        """All pages of a list; `metadata_only` leaves spec and status out of its objects."""
        items: list[Object] = []
        more: dict[str, str] = {"limit": str(_PAGE)}
        while True:
            page = await self._call(
                "GET", path, query={**query, **more}, accept=_METADATA if metadata_only else _OBJECTS
            )
            items += page.get("items") or []
            metadata = page["metadata"]
            if not metadata.get("continue"):
                return Listing(items, metadata.get("resourceVersion", ""))
            more["continue"] = metadata["continue"]

    async def watch(self, path: str, resource_version: str, **query: str) -> AsyncIterator[Event]:
        """Changes after `resource_version`, until the server closes the watch. Raises Expired when it is too old."""
        options = {
            "watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_SECONDS),
            "resourceVersion": resource_version, **query,
        }  # fmt: skip
        try:
            async with self._session.get(
                self.credentials.server + path, params=options, headers=self.credentials.headers(), timeout=_WATCH
            ) as response:
                if response.status >= 400:
                    raise _error(response.status, await response.read())
                async for line in _lines(response.content):
                    yield _event(line)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _away(error) from None

    async def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        kind: str = "application/json",
        query: Mapping[str, str] | None = None,
        accept: str = _OBJECTS,
    ) -> Object:
        try:
            headers = {"Accept": accept, "Content-Type": kind, **self.credentials.headers()}
            data = None if body is None else json.dumps(body).encode()
            url = self.credentials.server + path
            async with self._session.request(method, url, params=query, data=data, headers=headers) as response:
                text = await response.read()
                if response.status >= 400:
                    raise _error(response.status, text)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _away(error) from None
        return _object(text)


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Lines of any length: StreamReader's own readline stops at its buffer's size."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > _LONGEST_LINE:
            raise Away(0, "TooLong", f"the API server sent a line of more than {_LONGEST_LINE} bytes")


def _event(line: bytes) -> Event:
    event = _object(line)
    if event.get("type") == "ERROR":
        status = event.get("object") or {}
        raise _kind(status.get("code", 0))(
            status.get("code", 0), status.get("reason", ""), status.get("message", "the watch failed")
        )
    return Event(event["type"], event["object"])


def _object(text: bytes) -> Object:
    try:
        found = json.loads(text)
    except ValueError:
        raise Away(0, "NotJSON", f"the API server's answer can't be read: {text[:80]!r}") from None
    if not isinstance(found, dict):
        raise Away(0, "NotAnObject", f"the API server's answer is not an object: {text[:80]!r}")
    return found


def _error(status: int, text: bytes) -> ApiError:
    try:
        body = json.loads(text)
        return _kind(status)(status, body.get("reason", ""), body.get("message", ""))
    except (ValueError, AttributeError):
        return _kind(status)(status, "", text[:200].decode(errors="replace"))


def _kind(status: int) -> type[ApiError]:
    return Away if status >= 500 else _ERRORS.get(status, ApiError)


def _away(error: Exception) -> Away:
    word = "Timeout" if isinstance(error, asyncio.TimeoutError) else type(error).__name__
    return Away(0, word, str(error) or "the API server did not answer in time")
