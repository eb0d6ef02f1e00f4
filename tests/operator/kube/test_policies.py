import asyncio
from typing import Any

import pytest

from forefill_operator.client import Client
from forefill_operator.controller import Controller, Deliveries
from forefill_operator.kube.api import Api, ApiError
from forefill_operator.kube.policies import Policies
from forefill_protocol.messages import Assignment, Hello, Holding, Refused

LIST = "GET /apis/forefill.io/v1alpha1/tokenpolicies"
POD = Client("shop", "web", "web-0", "uid-0")
BROKEN = {"base": 50, "min": 500, "max": 400}


class Watched:
    def __init__(self, api: Api) -> None:
        self.controller = Controller()
        self.delivered: Deliveries = []
        self.policies = Policies(api, self.controller, self.delivered.extend, lambda: 10.0)

    def greet(self, key: str = "shop/llm") -> Any:
        """How a pod that uses the policy is answered."""
        ((_, answer),) = self.controller.hello(POD, Hello(1, "boot", "test", [Holding(key)]), 10.0)
        return answer

    def accepted(self, key: str = "shop/llm") -> str | None:
        status = self.controller.status(key, 10.0)
        return status.conditions[0].status if status else None


@pytest.fixture
def watched(api: Api) -> Watched:
    return Watched(api)


def test_a_good_policy_is_served(watched: Watched, manifest: Any) -> None:
    watched.policies.seen(manifest(), deleted=False)
    assert isinstance(watched.greet(), Assignment)
    assert (watched.accepted(), watched.policies.invalid) == ("True", set())
    assert watched.policies.bodies == {"shop/llm": manifest()}


def test_a_policy_that_was_never_served_has_nothing_to_learn(watched: Watched, manifest: Any) -> None:
    served = manifest("shop/old")
    served["status"]["observedGeneration"] = 3
    watched.policies.seen(served, deleted=False)
    watched.policies.seen(manifest(), deleted=False)
    unknown = {key: figures.unknown for key, figures in watched.controller.figures(10.0).items()}
    assert unknown == {"shop/old": 400.0, "shop/llm": 0.0}


def test_an_invalid_policy_is_a_condition_and_no_answer(
    watched: Watched, manifest: Any, caplog: pytest.LogCaptureFixture
) -> None:
    watched.policies.seen(manifest(fillRate=BROKEN), deleted=False)
    answer = watched.greet()
    assert isinstance(answer, Refused)
    assert answer.code == 503
    assert (watched.accepted(), watched.policies.invalid) == ("False", {"shop/llm"})
    assert "TokenPolicy shop/llm is not accepted" in caplog.text


def test_the_last_good_state_goes_on_while_the_newest_is_invalid(watched: Watched, manifest: Any) -> None:
    watched.policies.seen(manifest(), deleted=False)
    watched.policies.seen(manifest(fillRate=BROKEN), deleted=False)
    assert isinstance(watched.greet(), Assignment)
    assert watched.accepted() == "False"


def test_a_mended_policy_is_served(watched: Watched, manifest: Any) -> None:
    watched.policies.seen(manifest(fillRate=BROKEN), deleted=False)
    watched.policies.seen(manifest(), deleted=False)
    assert isinstance(watched.greet(), Assignment)
    assert (watched.accepted(), watched.policies.invalid) == ("True", set())


def test_clients_of_a_deleted_policy_are_told(watched: Watched, manifest: Any) -> None:
    watched.policies.seen(manifest(), deleted=False)
    watched.greet()
    watched.policies.seen(manifest(), deleted=True)
    ((uid, message),) = watched.delivered
    assert isinstance(message, Refused)
    assert (uid, message.code, message.policy) == ("uid-0", 410, "shop/llm")
    assert (watched.accepted(), watched.policies.bodies) == (None, {})


def test_a_policy_that_comes_back_invalid_says_so(watched: Watched, manifest: Any) -> None:
    watched.policies.seen(manifest(), deleted=False)
    watched.policies.seen(manifest(), deleted=True)
    watched.policies.seen(manifest(fillRate=BROKEN), deleted=False)
    assert watched.accepted() == "False"
    watched.policies.seen(manifest(), deleted=False)
    assert (watched.accepted(), type(watched.greet())) == ("True", Assignment)


def test_an_invalid_policy_that_is_deleted_is_no_longer_counted(watched: Watched, manifest: Any) -> None:
    watched.policies.seen(manifest(fillRate=BROKEN), deleted=False)
    watched.policies.seen(manifest(fillRate=BROKEN), deleted=True)
    assert (watched.policies.invalid, watched.accepted()) == (set(), None)


async def test_a_list_brings_in_what_exists_and_takes_out_what_does_not(
    watched: Watched, manifest: Any, api_server: Any
) -> None:
    watched.policies.seen(manifest("shop/old"), deleted=False)
    items = [manifest(), manifest("shop/broken", fillRate=BROKEN)]
    api_server.answers[LIST] = (200, {"metadata": {"resourceVersion": "7"}, "items": items})
    await watched.policies.list()
    assert {key: watched.accepted(key) for key in ("shop/llm", "shop/broken", "shop/old")} == {
        "shop/llm": "True",
        "shop/broken": "False",
        "shop/old": None,
    }
    assert watched.policies.bodies.keys() == {"shop/llm", "shop/broken"}


async def test_a_list_that_fails_takes_nothing_out(watched: Watched, manifest: Any, api_server: Any) -> None:
    watched.policies.seen(manifest(), deleted=False)
    api_server.answers[LIST] = (503, {"reason": "Busy"})
    with pytest.raises(ApiError):
        await watched.policies.list()
    assert watched.accepted() == "True"


def versioned(manifest: Any, version: int, key: str = "shop/llm") -> Any:
    body = manifest(key)
    return {**body, "metadata": {**body["metadata"], "resourceVersion": str(version)}}


GRACE_SECONDS = 0.02


async def listed(watched: Watched, api_server: Any, *items: Any) -> dict[str, int]:
    """The list shows `items`; gives what the watch had told of before."""
    told = dict(watched.policies._watched)
    api_server.answers[LIST] = (200, {"metadata": {}, "items": list(items)})
    await watched.policies.list()
    return told


async def test_a_watch_that_tells_of_everything_hears(watched: Watched, api_server: Any, manifest: Any) -> None:
    watched.policies.watched(versioned(manifest, 7), deleted=False)
    await watched.policies.compare(await listed(watched, api_server, versioned(manifest, 7)), GRACE_SECONDS)
    assert watched.policies.deaf is None


async def test_a_watch_that_is_only_behind_hears(watched: Watched, api_server: Any, manifest: Any) -> None:
    watched.policies.watched(versioned(manifest, 7), deleted=False)
    told = await listed(watched, api_server, versioned(manifest, 8))
    comparing = asyncio.create_task(watched.policies.compare(told, GRACE_SECONDS))
    await asyncio.sleep(0)
    watched.policies.watched(versioned(manifest, 9), deleted=False)
    await comparing
    assert watched.policies.deaf is None


async def test_a_watch_that_is_ahead_of_the_list_hears(watched: Watched, api_server: Any, manifest: Any) -> None:
    watched.policies.watched(versioned(manifest, 9), deleted=False)
    await watched.policies.compare(await listed(watched, api_server, versioned(manifest, 8)), GRACE_SECONDS)
    assert watched.policies.deaf is None


@pytest.mark.parametrize("shown", ["a change", "a new policy", "a deletion"])
async def test_a_watch_that_misses_what_the_list_shows_is_deaf_until_it_hears_again(
    shown: str, watched: Watched, api_server: Any, manifest: Any
) -> None:
    watched.policies.watched(versioned(manifest, 7), deleted=False)
    items = {
        "a change": [versioned(manifest, 8)],
        "a new policy": [versioned(manifest, 7), versioned(manifest, 8, "shop/new")],
        "a deletion": [],
    }[shown]
    await watched.policies.compare(await listed(watched, api_server, *items), GRACE_SECONDS)
    name = "shop/new" if shown == "a new policy" else "shop/llm"
    assert watched.policies.deaf == f"the watch on TokenPolicies missed changes of {name}"
    if shown == "a deletion":
        watched.policies.watched(versioned(manifest, 7), deleted=True)
    for item in items:
        watched.policies.watched(item, deleted=False)
    await watched.policies.compare(await listed(watched, api_server, *items), GRACE_SECONDS)
    assert watched.policies.deaf is None
