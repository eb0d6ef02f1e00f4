import asyncio
import json
import ssl
from typing import Any

import pytest

from forefill_operator.kube import api as kube
from forefill_operator.kube.api import Api
from forefill_operator.kube.credentials import Credentials


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        (("v1", "pods", "shop", "web-0"), "/api/v1/namespaces/shop/pods/web-0"),
        (("forefill.io/v1alpha1", "tokenpolicies"), "/apis/forefill.io/v1alpha1/tokenpolicies"),
        (
            ("forefill.io/v1alpha1", "tokenpolicies", "shop", "llm", "status"),
            "/apis/forefill.io/v1alpha1/namespaces/shop/tokenpolicies/llm/status",
        ),
    ],
)
def test_a_path_is_that_of_the_resource(parts: Any, path: str) -> None:
    assert kube.path(*parts) == path


async def test_calls_carry_the_token_and_what_is_sent(api: Api, api_server: Any) -> None:
    api_server.answers = {
        f"{method} /x": (200, {"done": method}) for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    }
    assert await api.get("/x") == {"done": "GET"}
    assert await api.create("/x", {"a": 1}) == {"done": "POST"}
    assert await api.replace("/x", {"a": 2}) == {"done": "PUT"}
    assert await api.patch("/x", [{"op": "remove", "path": "/a"}], kube.JSON) == {"done": "PATCH"}
    assert await api.delete("/x") == {"done": "DELETE"}
    sent = [body for _, body in api_server.requests]
    assert sent == [None, {"a": 1}, {"a": 2}, [{"op": "remove", "path": "/a"}], None]
    assert {headers["Authorization"] for headers in api_server.headers} == {"Bearer mine"}
    assert api_server.headers[3]["Content-Type"] == "application/json-patch+json"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, kube.NotFound),
        (409, kube.Conflict),
        (410, kube.Expired),
        (429, kube.Away),
        (500, kube.Away),
        (503, kube.Away),
        (403, kube.ApiError),
        (422, kube.ApiError),
    ],
)
async def test_a_refusal_is_an_error_of_its_own_kind(
    status: int, kind: type[kube.ApiError], api: Api, api_server: Any
) -> None:
    api_server.answers["GET /x"] = (status, {"reason": "Because", "message": "it is so"})
    with pytest.raises(kube.ApiError) as caught:
        await api.get("/x")
    assert type(caught.value) is kind
    assert str(caught.value) == f"{status} Because: it is so"


@pytest.mark.parametrize("text", [b"<html>", b"[1]", b"", b"\xff"])
async def test_an_answer_that_is_no_object_counts_as_none(text: bytes, api: Api, api_server: Any) -> None:
    api_server.answers["GET /x"] = (200, text)
    with pytest.raises(kube.Away):
        await api.get("/x")


async def test_a_refusal_without_json_is_shown_as_it_is(api: Api, api_server: Any) -> None:
    api_server.answers["GET /x"] = (403, b"forbidden by a proxy")
    with pytest.raises(kube.ApiError, match="forbidden by a proxy"):
        await api.get("/x")


async def test_an_api_server_that_is_not_there_is_away() -> None:
    async with Api(Credentials("http://127.0.0.1:1", ssl.create_default_context())) as nowhere:
        with pytest.raises(kube.Away):
            await nowhere.get("/x")
        with pytest.raises(kube.Away):
            await anext(nowhere.watch("/x", "1"))


async def test_all_pages_of_a_list_are_read(api: Api, api_server: Any) -> None:
    pages = iter([
        {"metadata": {"resourceVersion": "5", "continue": "more"}, "items": [{"n": 1}]},
        {"metadata": {"resourceVersion": "5"}, "items": [{"n": 2}]},
    ])  # fmt: skip
    api_server.answers = Pages(pages)
    assert await api.list("/x") == kube.Listing([{"n": 1}, {"n": 2}], "5")
    assert [query.get("continue") for query in api_server.queries] == [None, "more"]


class Pages(dict[str, Any]):
    """Gives the next page to each call."""

    def __init__(self, pages: Any) -> None:
        super().__init__()
        self._pages = pages

    def get(self, key: str, default: Any = None) -> Any:
        return 200, next(self._pages)


async def test_a_watch_gives_events_of_any_length(api: Api, api_server: Any) -> None:
    large = {"type": "ADDED", "object": {"metadata": {"resourceVersion": "8"}, "text": "x" * 300_000}}
    small = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}
    for event in (large, small, None):
        api_server.events.put_nowait(event)
    events = [event async for event in api.watch("/x", "7")]
    assert [(event.type, event.object) for event in events] == [
        ("ADDED", large["object"]),
        ("BOOKMARK", small["object"]),
    ]
    assert api_server.queries[0]["resourceVersion"] == "7"


async def test_a_watch_that_is_too_old_is_expired(api: Api, api_server: Any) -> None:
    api_server.events.put_nowait({"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "old"}})
    with pytest.raises(kube.Expired):
        await anext(api.watch("/x", "7"))


async def test_a_watch_that_breaks_off_in_a_line_is_away() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        event = json.dumps({"type": "ADDED", "object": {"metadata": {}}}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + event + b"\n" + event[:10])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, Api(Credentials(url, ssl.create_default_context())) as broken:
        events = broken.watch("/x", "7")
        assert (await anext(events)).type == "ADDED"
        with pytest.raises(kube.Away):
            await anext(events)
