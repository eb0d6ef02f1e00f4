from typing import Any

import pytest

from forefill_operator.kube import events
from forefill_operator.kube.api import Api
from forefill_operator.kube.events import REPEAT_SECONDS, SERIES_SECONDS, Events, Happening, Regarding

CREATE = "POST /apis/events.k8s.io/v1/namespaces/shop/events"
POLICY = Regarding("forefill.io/v1alpha1", "TokenPolicy", "shop", "llm", "uid-1")
BROKEN = Happening("Warning", "InvalidSpec", "Accepted", "spec.fillRate.min: is 5, but must be at most 4")


def status(**reasons: str) -> dict[str, Any]:
    """A status by condition: a reason for True, a reason with a leading ! for False."""
    return {
        "conditions": [
            {
                "type": kind,
                "status": "False" if reason.startswith("!") else "True",
                "reason": reason.lstrip("!"),
                "message": f"{kind} because of {reason.lstrip('!')}",
            }
            for kind, reason in reasons.items()
        ]
    }


def told(before: Any, after: Any) -> list[tuple[str, str]]:
    return [(one.type, one.reason) for one in events.transitions(before, after)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, status(Accepted="Accepted", Enforced="NoClients", LoadKnown="!NoSource"), [("Normal", "Accepted")]),
        ({}, status(Accepted="!InvalidSpec"), [("Warning", "InvalidSpec")]),
        (status(Accepted="Accepted"), status(Accepted="Accepted"), []),
        (status(Accepted="Accepted"), status(Accepted="!InvalidSpec"), [("Warning", "InvalidSpec")]),
        (status(Enforced="Acknowledged"), status(Enforced="!Pending"), [("Normal", "Pending")]),
        (status(Enforced="!Pending"), status(Enforced="Acknowledged"), [("Normal", "Acknowledged")]),
        (status(LoadKnown="Fresh"), status(LoadKnown="!Stale"), [("Warning", "Stale")]),
        (status(LoadKnown="Fresh"), status(LoadKnown="!NoSource"), [("Normal", "NoSource")]),
        (status(Calm="Calm"), status(Calm="!Overdrawn"), [("Warning", "Overdrawn")]),
    ],
)
def test_transitions_of_conditions_are_told(before: Any, after: Any, expected: list[tuple[str, str]]) -> None:
    assert told(before, after) == expected


def test_another_sentence_is_no_transition() -> None:
    before, after = status(Enforced="!Pending"), status(Enforced="!Pending")
    after["conditions"][0]["message"] = "Generation 4 waits for 1 of 3 clients: web-0"
    assert told(before, after) == []


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def posted(api: Api, clock: Clock, api_server: Any) -> Events:
    api_server.answers[CREATE] = (201, {})
    return Events(api, "operator-0", clock)


def patches(api_server: Any) -> list[int]:
    return [body["series"]["count"] for call, body in api_server.requests if call.startswith("PATCH")]


async def test_an_event_says_what_happened_to_which_object(posted: Events, api_server: Any) -> None:
    await posted.post(POLICY, BROKEN)
    (body,) = api_server.asked(CREATE)
    assert body.pop("eventTime").endswith("Z")
    assert body.pop("metadata")["name"].startswith("llm.")
    assert body == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "reportingController": "forefill.io/operator",
        "reportingInstance": "operator-0",
        "action": "Accepted",
        "reason": "InvalidSpec",
        "type": "Warning",
        "note": BROKEN.note,
        "regarding": {
            "apiVersion": "forefill.io/v1alpha1",
            "kind": "TokenPolicy",
            "namespace": "shop",
            "name": "llm",
            "uid": "uid-1",
        },
    }


async def accept_patches(api_server: Any) -> None:
    (body,) = api_server.asked(CREATE)
    api_server.answers[f"PATCH {CREATE.removeprefix('POST ')}/{body['metadata']['name']}"] = (200, {})


async def test_repeats_are_counted_and_written_once_a_minute(posted: Events, api_server: Any, clock: Clock) -> None:
    await posted.post(POLICY, BROKEN)
    await accept_patches(api_server)
    for _ in range(5):
        await posted.post(POLICY, BROKEN)
    assert patches(api_server) == [2]
    clock.now += REPEAT_SECONDS
    await posted.post(POLICY, BROKEN)
    assert patches(api_server) == [2, 7]
    assert len(api_server.asked(CREATE)) == 1


async def test_another_object_another_reason_and_another_hour_are_events_of_their_own(
    posted: Events, api_server: Any, clock: Clock
) -> None:
    await posted.post(POLICY, BROKEN)
    await posted.post(POLICY, Happening("Normal", "Accepted", "Accepted", "The policy is served"))
    api_server.answers["POST /apis/events.k8s.io/v1/namespaces/other/events"] = (201, {})
    await posted.post(Regarding("forefill.io/v1alpha1", "TokenPolicy", "other", "llm", "uid-2"), BROKEN)
    clock.now += SERIES_SECONDS
    await posted.post(POLICY, BROKEN)
    assert len(api_server.asked(CREATE)) == 3
    assert patches(api_server) == []


async def test_an_event_that_the_api_server_has_forgotten_is_made_again(posted: Events, api_server: Any) -> None:
    await posted.post(POLICY, BROKEN)
    await posted.post(POLICY, BROKEN)
    assert len(api_server.asked(CREATE)) == 2


async def test_an_event_that_can_not_be_written_stops_nothing(
    posted: Events, api_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    api_server.answers[CREATE] = (403, {"reason": "Forbidden", "message": "no"})
    await posted.post(POLICY, BROKEN)
    assert "the Event InvalidSpec of shop/llm was not written: 403 Forbidden" in caplog.text
