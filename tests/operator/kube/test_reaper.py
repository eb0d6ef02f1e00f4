from typing import Any

import pytest

from forefill_operator.client import Client
from forefill_operator.controller import Controller, Deliveries
from forefill_operator.kube.api import Api
from forefill_operator.kube.reaper import MOST_AT_ONCE, Reaper, has_ended
from forefill_operator.policy import parse_policy
from forefill_protocol import messages


def pod_of(uid: str = "uid-0", phase: str | None = "Running") -> dict[str, Any]:
    status = {} if phase is None else {"status": {"phase": phase}}
    return {"metadata": {"uid": uid}, **status}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (None, True),
        (pod_of("uid-1"), True),
        (pod_of(phase="Succeeded"), True),
        (pod_of(phase="Failed"), True),
        (pod_of(phase="Running"), False),
        (pod_of(phase="Pending"), False),
        (pod_of(phase="Unknown"), False),
        (pod_of(phase=None), False),
    ],
)
def test_a_pod_has_ended_when_it_is_gone_replaced_or_done(pod: Any, expected: bool) -> None:
    assert has_ended(pod, "uid-0") is expected


class Cluster:
    """A controller with clients that fell silent, and the reaper that asks about them."""

    def __init__(self, api: Api, manifest: Any) -> None:
        self.controller = Controller(first_start=True)
        self.controller.put_policy(parse_policy(manifest(clients={})), 0.0)
        self.delivered: list[Deliveries] = []
        self.reaper = Reaper(api, self.controller, self.delivered.append, lambda: 10.0)

    def fall_silent(self, number: int) -> None:
        uid = f"uid-{number}"
        client = Client("shop", "web", f"web-{number}", uid)
        holding = messages.Holding(policy="shop/llm")
        self.controller.hello(client, messages.Hello(1, "boot", "test", [holding]), 0.0)
        self.controller.disconnected(uid, 1.0)

    def silent(self) -> list[str]:
        return [client.pod_uid for client in self.controller.silent()]


@pytest.fixture
def cluster(api: Api, manifest: Any) -> Cluster:
    return Cluster(api, manifest)


def path(number: int) -> str:
    return f"GET /api/v1/namespaces/shop/pods/web-{number}"


async def test_pods_that_have_ended_are_no_longer_clients(cluster: Cluster, api_server: Any) -> None:
    for number in range(3):
        cluster.fall_silent(number)
    api_server.answers[path(0)] = (200, pod_of("uid-0"))
    api_server.answers[path(1)] = (200, pod_of("uid-1", "Failed"))
    await cluster.reaper.look()
    assert cluster.silent() == ["uid-0"]
    assert len(cluster.delivered) == 2


async def test_silence_frees_nothing_while_the_api_server_gives_no_answer(
    cluster: Cluster, api_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.fall_silent(0)
    cluster.fall_silent(1)
    api_server.answers[path(0)] = (503, {"reason": "Busy"})
    await cluster.reaper.look()
    assert cluster.silent() == ["uid-0", "uid-1"]
    assert "nobody can say whether silent pods have ended" in caplog.text


async def test_every_silent_pod_gets_its_turn(cluster: Cluster, api_server: Any) -> None:
    silent = MOST_AT_ONCE + 3
    for number in range(silent):
        cluster.fall_silent(number)
        api_server.answers[path(number)] = (200, pod_of(f"uid-{number}"))
    await cluster.reaper.look()
    assert len(api_server.requests) == MOST_AT_ONCE
    await cluster.reaper.look()
    assert {call for call, _ in api_server.requests} == {path(number) for number in range(silent)}
    await cluster.reaper.look()
    assert len(api_server.requests) == silent + MOST_AT_ONCE


async def test_a_pod_that_was_not_answered_for_is_asked_about_first_next_time(
    cluster: Cluster, api_server: Any
) -> None:
    for number in range(2):
        cluster.fall_silent(number)
    api_server.answers[path(0)] = (200, pod_of("uid-0"))
    api_server.answers[path(1)] = (503, {"reason": "Busy"})
    await cluster.reaper.look()
    await cluster.reaper.look()
    assert [call for call, _ in api_server.requests] == [path(0), path(1), path(1)]
