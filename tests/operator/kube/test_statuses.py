from collections.abc import Callable
from typing import Any

import pytest

from forefill_operator.controller import Controller
from forefill_operator.kube.api import Api
from forefill_operator.kube.events import Events
from forefill_operator.kube.policies import Policies
from forefill_operator.kube.statuses import FIGURES_SECONDS, Statuses, _with_removals, is_due

STATUS = "PATCH /apis/forefill.io/v1alpha1/namespaces/shop/tokenpolicies/llm/status"
WRITTEN: dict[str, Any] = {
    "observedGeneration": 3,
    "clients": 2,
    "targetFillRate": 50.0,
    "clamped": "None",
    "conditions": [
        {
            "type": "Accepted",
            "status": "True",
            "reason": "Valid",
            "message": "The policy is served.",
            "observedGeneration": 3,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ],
}


def with_condition(**changes: Any) -> dict[str, Any]:
    return {**WRITTEN, "conditions": [{**WRITTEN["conditions"][0], **changes}]}


@pytest.mark.parametrize(
    ("wanted", "seconds", "expected"),
    [
        (WRITTEN, 1e9, False),
        (with_condition(lastTransitionTime="2026-02-02T00:00:00Z"), 1e9, False),
        (with_condition(status="False"), 0.0, True),
        (with_condition(message="Another sentence."), 0.0, True),
        ({**WRITTEN, "conditions": []}, 0.0, True),
        ({**WRITTEN, "observedGeneration": 4}, 0.0, True),
        ({**WRITTEN, "clamped": "Max"}, 0.0, True),
        ({**WRITTEN, "clients": 3}, FIGURES_SECONDS - 1.0, False),
        ({**WRITTEN, "clients": 3}, FIGURES_SECONDS, True),
        ({**WRITTEN, "load": 0.5}, FIGURES_SECONDS, True),
    ],
    ids=[
        "nothing changed",
        "only the date of a condition",
        "a condition",
        "the sentence of a condition",
        "a condition is gone",
        "the generation",
        "the clamp",
        "a figure too early",
        "a figure",
        "a new figure",
    ],
)
def test_conditions_are_due_at_once_and_figures_once_a_minute(
    wanted: dict[str, Any], seconds: float, expected: bool
) -> None:
    assert is_due(wanted, WRITTEN, seconds) is expected


def test_the_first_status_is_due_at_once() -> None:
    assert is_due(WRITTEN, {}, 0.0)


def test_fields_that_are_gone_are_named_as_null() -> None:
    assert _with_removals({"clients": 1}, {"clients": 2, "load": 0.5}) == {"clients": 1, "load": None}
    assert _with_removals({"clients": 1}, {}) == {"clients": 1}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def policies(api: Api, clock: Clock, manifest: Callable[..., Any]) -> Policies:
    made = Policies(api, Controller(first_start=True), lambda deliveries: None, clock)
    made.seen(manifest(), deleted=False)
    return made


@pytest.fixture
def statuses(api: Api, clock: Clock, policies: Policies, api_server: Any) -> Statuses:
    api_server.answers[STATUS] = (200, {})
    return Statuses(api, policies._controller, policies, Events(api, "operator-0", clock), clock)


def conditions(body: Any) -> dict[str, str]:
    return {each["type"]: each["status"] for each in body["status"]["conditions"]}


async def test_a_status_is_written_once_until_it_changes(
    statuses: Statuses, policies: Policies, api_server: Any, clock: Clock, manifest: Callable[..., Any]
) -> None:
    await statuses.write()
    clock.now += 100.0
    await statuses.write()
    (body,) = api_server.asked(STATUS)
    assert (body["status"]["observedGeneration"], conditions(body)["Accepted"]) == (3, "True")
    broken = manifest(fillRate={"base": 50, "min": 500, "max": 400})
    policies.seen({**broken, "metadata": {**broken["metadata"], "generation": 4}}, deleted=False)
    await statuses.write()
    assert conditions(api_server.asked(STATUS)[-1])["Accepted"] == "False"
    assert len(api_server.asked(STATUS)) == 2


async def test_a_status_that_could_not_be_written_is_written_later(
    statuses: Statuses, api_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    api_server.answers[STATUS] = (503, {"reason": "Busy"})
    await statuses.write()
    assert "the status of TokenPolicy shop/llm could not be written" in caplog.text
    api_server.answers[STATUS] = (200, {})
    await statuses.write()
    assert len(api_server.asked(STATUS)) == 2


async def test_a_policy_that_comes_back_under_its_name_gets_its_own_status(
    statuses: Statuses, policies: Policies, api_server: Any, manifest: Callable[..., Any]
) -> None:
    await statuses.write()
    policies.seen(manifest(), deleted=True)
    again = manifest()
    policies.seen({**again, "metadata": {**again["metadata"], "uid": "another"}}, deleted=False)
    await statuses.write()
    assert len(api_server.asked(STATUS)) == 2


async def test_nothing_is_remembered_of_policies_that_are_gone(
    statuses: Statuses, policies: Policies, manifest: Callable[..., Any]
) -> None:
    await statuses.write()
    policies.seen(manifest(), deleted=True)
    await statuses.write()
    assert statuses._written == {}
