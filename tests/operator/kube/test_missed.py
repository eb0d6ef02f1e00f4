import json
from typing import Any

import pytest

from forefill_operator.kube.api import Api
from forefill_operator.kube.events import Events
from forefill_operator.kube.missed import UNKNOWN, Missed, MissedPods, missed

NAMESPACES, PODS = "GET /api/v1/namespaces", "GET /api/v1/pods"
CREATE = "POST /apis/events.k8s.io/v1/namespaces/shop/events"
ASKS = {"forefill.io/inject": "true"}


def pod_of(name: str = "web-0", annotations: Any = ASKS, namespace: str = "shop", **metadata: Any) -> Any:
    told = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "annotations": annotations}
    return {"metadata": {**told, **metadata}}


@pytest.mark.parametrize(
    ("pod", "why"),
    [
        (pod_of(), UNKNOWN),
        (pod_of(annotations={**ASKS, "forefill.io/status": json.dumps({"refused": "it can't"})}), "it can't"),
        (pod_of(annotations={**ASKS, "forefill.io/status": "not JSON"}), UNKNOWN),
        (pod_of(annotations={**ASKS, "forefill.io/status": "[1]"}), UNKNOWN),
        (pod_of(annotations=None, namespace="eager"), UNKNOWN),
        (pod_of(annotations=None), None),
        (pod_of(annotations={"forefill.io/inject": "false"}, namespace="eager"), None),
        (pod_of(labels={"forefill.io/injected": "true"}), None),
        (pod_of(deletionTimestamp="2026-01-01T00:00:00Z"), None),
        (pod_of(annotations={**ASKS, "kubernetes.io/config.mirror": "x"}), None),
    ],
)
def test_a_pod_that_asks_and_has_none_is_missed(pod: Any, why: str | None) -> None:
    found = missed(pod, {"eager"})
    namespace = pod["metadata"]["namespace"]
    assert found == (None if why is None else Missed(namespace, "web-0", "uid-web-0", why))


@pytest.fixture
def counts() -> list[int]:
    return []


@pytest.fixture
def finder(api: Api, api_server: Any, counts: list[int]) -> MissedPods:
    api_server.answers[NAMESPACES] = (200, {"metadata": {}, "items": []})
    api_server.answers[PODS] = (200, {"metadata": {}, "items": [pod_of(), pod_of("quiet", None)]})
    api_server.answers[CREATE] = (201, {})
    return MissedPods(api, Events(api, "operator-0", lambda: 0.0), counts.append)


async def test_each_is_counted_every_time_and_told_of_once(
    finder: MissedPods, api_server: Any, counts: list[int]
) -> None:
    await finder.look()
    await finder.look()
    assert counts == [1, 1]
    (event,) = api_server.asked(CREATE)
    assert (event["reason"], event["type"], event["regarding"]["name"]) == ("NotInjected", "Warning", "web-0")
    assert event["note"] == f"The pod asked for a Forefill sidecar and runs without one: {UNKNOWN}"


async def test_only_metadata_of_pods_without_a_sidecar_is_asked_for(finder: MissedPods, api_server: Any) -> None:
    await finder.look()
    assert api_server.queries == [
        {"limit": "500", "labelSelector": "forefill.io/inject=enabled"},
        {
            "limit": "500",
            "labelSelector": "!forefill.io/injected",
            "fieldSelector": "status.phase!=Succeeded,status.phase!=Failed",
        },
        {},
    ]
    assert api_server.headers[1]["Accept"].startswith("application/json;as=PartialObjectMetadataList")


async def test_pods_of_a_namespace_that_wants_sidecars_need_not_ask(
    finder: MissedPods, api_server: Any, counts: list[int]
) -> None:
    api_server.answers[NAMESPACES] = (200, {"metadata": {}, "items": [{"metadata": {"name": "shop"}}]})
    await finder.look()
    assert counts == [2]
