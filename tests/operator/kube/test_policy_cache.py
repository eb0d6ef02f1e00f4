import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from forefill_operator.kube.api import Api
from forefill_operator.kube.policy_cache import PolicyCache

LIST = "GET /apis/forefill.io/v1alpha1/tokenpolicies"
SHOP = "GET /apis/forefill.io/v1alpha1/namespaces/shop/tokenpolicies"
ONE = f"{SHOP}/llm"
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]


def versioned(body: Any, version: int) -> Any:
    body["metadata"]["resourceVersion"] = str(version)
    return body


@pytest.fixture
async def cache(api: Api, api_server: Any, manifest: Callable[..., Any], eventually: Eventually) -> AsyncIterator[Any]:
    items = [versioned(manifest(counted=7), 3), versioned(manifest("other/db"), 4)]
    api_server.answers[LIST] = (200, {"metadata": {"resourceVersion": "5"}, "items": items})
    followed = PolicyCache(api)
    task = asyncio.get_running_loop().create_task(followed.follow())
    await eventually(lambda: followed.listed)
    yield followed
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def known(cache: PolicyCache) -> dict[str, int]:
    return {
        key: held.policy.generation
        for name in ("shop", "other")
        for key, held in (await cache.lookup([], name)).items()
    }


async def test_what_is_listed_is_known_with_its_clients(cache: PolicyCache) -> None:
    assert await known(cache) == {"shop/llm": 3, "other/db": 3}
    assert (await cache.lookup([], "shop"))["shop/llm"].clients == 7


async def test_what_stands_now_wins_over_what_was_watched(
    cache: PolicyCache, api_server: Any, manifest: Callable[..., Any]
) -> None:
    api_server.answers[ONE] = (200, versioned(manifest(counted=9), 12))
    assert (await cache.lookup(["shop/llm"], "shop"))["shop/llm"].clients == 9


async def test_while_nobody_answers_what_was_seen_does(cache: PolicyCache, api_server: Any) -> None:
    api_server.answers[ONE] = (503, {"reason": "ServiceUnavailable", "message": "come back"})
    assert (await cache.lookup(["shop/llm"], "shop"))["shop/llm"].clients == 7


async def test_a_policy_that_left_its_namespace_is_not_offered(cache: PolicyCache, api_server: Any) -> None:
    api_server.answers[SHOP] = (200, {"metadata": {"resourceVersion": "20"}, "items": []})
    assert await cache.lookup([], "shop") == {}


async def test_changes_come_by_the_watch(
    cache: PolicyCache, api_server: Any, manifest: Callable[..., Any], eventually: Eventually
) -> None:
    for kind, body in (
        ("ADDED", versioned(manifest("shop/new"), 6)),
        ("DELETED", versioned(manifest("other/db"), 7)),
        ("BOOKMARK", {"metadata": {"resourceVersion": "8"}}),
    ):
        api_server.events.put_nowait({"type": kind, "object": body})
    await eventually(lambda: len(cache) == 2 and api_server.events.empty())
    assert await known(cache) == {"shop/llm": 3, "shop/new": 3}
    api_server.events.put_nowait(None)
    await eventually(lambda: api_server.queries[-1].get("resourceVersion") == "8")


async def test_a_policy_that_can_not_be_served_is_not_offered(
    cache: PolicyCache, api_server: Any, manifest: Callable[..., Any], eventually: Eventually
) -> None:
    broken = versioned(manifest(), 6)
    broken["spec"]["fillRate"] = {"base": 0, "min": 5, "max": 1}
    api_server.events.put_nowait({"type": "MODIFIED", "object": broken})
    await eventually(lambda: len(cache) == 1)
    assert await cache.lookup(["shop/llm"], "shop") == {}


async def test_a_watch_that_is_too_old_leads_to_a_new_list(
    cache: PolicyCache, api_server: Any, manifest: Callable[..., Any], eventually: Eventually
) -> None:
    api_server.answers[LIST] = (
        200,
        {"metadata": {"resourceVersion": "9"}, "items": [versioned(manifest("shop/z"), 8)]},
    )
    api_server.events.put_nowait({"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}})
    await eventually(lambda: len(cache) == 1)
    assert await known(cache) == {"shop/z": 3}


async def test_a_policy_deleted_meanwhile_is_not_offered_when_it_is_asked_for(cache: PolicyCache) -> None:
    assert await cache.lookup(["shop/llm", "shop/gone"], "shop") == {}
