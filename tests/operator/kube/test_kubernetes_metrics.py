import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from forefill_operator.kube.api import Api
from forefill_operator.load.kubernetes_metrics import KubernetesMetrics, Service, amount, parts_of, service_of
from forefill_operator.load.readings import Fault, Reading
from forefill_operator.policy import TokenPolicy, parse_policy

Object = dict[str, Any]


@pytest.fixture
def policy(manifest: Callable[..., Object]) -> Callable[[str], TokenPolicy]:
    """A policy of namespace shop whose upstream has this URL."""
    return lambda url: parse_policy(manifest("shop/llm", upstream={"url": url}, clients={}))


@pytest.mark.parametrize(
    ("url", "service"),
    [
        ("http://llm:8000", Service("shop", "llm")),
        ("http://llm.ai", Service("ai", "llm")),
        ("http://llm.ai.svc:8000/v1", Service("ai", "llm")),
        ("http://llm.ai.svc.cluster.local", Service("ai", "llm")),
        ("https://api.example.com", None),
        ("http://10.0.0.1:80", None),
        ("http://[::1]:80", None),
        ("http://..%2fsecrets", None),
        ("http://llm%2f..", None),
    ],
)
def test_the_host_of_an_upstream_names_a_service(
    policy: Callable[[str], TokenPolicy], url: str, service: Service | None
) -> None:
    assert service_of(policy(url)) == service


@pytest.mark.parametrize(
    ("quantity", "value"),
    [("250m", 0.25), ("1500000n", 0.0015), ("12u", 0.000012), ("0", 0.0), ("2", 2.0), ("1Ki", 1024.0)],
)
def test_usage_comes_in_kubernetes_units(quantity: str, value: float) -> None:
    assert amount(quantity) == pytest.approx(value)


def pod(name: str, *containers: Object) -> Object:
    return {"metadata": {"name": name}, "spec": {"containers": list(containers)}}


def container(name: str, limits: Mapping[str, str], requests: Mapping[str, str] | None = None) -> Object:
    return {"name": name, "resources": {"limits": dict(limits), "requests": dict(requests or {})}}


def usage(name: str, **cpu_and_memory: tuple[str, str]) -> Object:
    containers = [{"name": n, "usage": {"cpu": cpu, "memory": memory}} for n, (cpu, memory) in cpu_and_memory.items()]
    return {"metadata": {"name": name}, "containers": containers}


LIMITS = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("pods", "usages", "cpu", "memory"),
    [
        ([pod("a", container("llm", LIMITS))], [usage("a", llm=("250m", "512Mi"))], 0.25, 0.5),
        (
            [pod("a", container("llm", LIMITS)), pod("b", container("llm", LIMITS))],
            [usage("a", llm=("1", "0")), usage("b", llm=("0", "512Mi")), usage("stranger", llm=("9", "9Gi"))],
            0.5,
            0.25,
        ),
        (
            [pod("a", container("llm", {"memory": "1Gi"}, {"cpu": "500m"}))],
            [usage("a", llm=("2", "256Mi"))],
            1.0,
            0.25,
        ),
    ],
)
def test_a_part_is_what_all_containers_use_by_what_they_may_use(
    pods: list[Object], usages: list[Object], cpu: float, memory: float
) -> None:
    assert parts_of(pods, usages) == {"cpu": Reading(cpu), "memory": Reading(memory)}


def test_a_container_without_limit_and_request_leaves_its_part_unknown() -> None:
    parts = parts_of([pod("a", container("llm", {"memory": "1Gi"}))], [usage("a", llm=("2", "256Mi"))])
    sentence = "can't be measured: container llm of pod a has neither a limit nor a request for it"
    assert parts == {"cpu": Reading(None, Fault("NotMeasured", sentence)), "memory": Reading(0.25)}


def test_metrics_of_no_pod_are_no_load() -> None:
    fault = Fault("NotMeasured", "can't be measured: the metrics API tells of none of the Service's pods")
    assert parts_of([pod("a", container("llm", LIMITS))], []) == {
        "cpu": Reading(None, fault),
        "memory": Reading(None, fault),
    }


SERVICE = "GET /api/v1/namespaces/ai/services/llm"
PODS = "GET /api/v1/namespaces/ai/pods"
METRICS = "GET /apis/metrics.k8s.io/v1beta1/namespaces/ai/pods"


@pytest.fixture
def serving(api_server: Any) -> Any:
    api_server.answers.update(
        {
            SERVICE: (200, {"spec": {"selector": {"app": "llm"}}}),
            PODS: (200, {"metadata": {}, "items": [pod("a", container("llm", LIMITS))]}),
            METRICS: (200, {"items": [usage("a", llm=("250m", "512Mi"))]}),
        }
    )
    return api_server


async def test_many_policies_of_one_service_ask_the_api_server_once(
    serving: Any, api: Api, policy: Callable[[str], TokenPolicy]
) -> None:
    now = 0.0
    source = KubernetesMetrics(api, ["shop"], clock=lambda: now)
    read = [source.read(policy("http://llm.ai.svc:8000")) for _ in range(20)]
    assert await asyncio.gather(*read) == [{"cpu": Reading(0.25), "memory": Reading(0.5)}] * 20
    assert [call for call, _ in serving.requests] == [SERVICE, PODS, METRICS]
    assert [query.get("labelSelector") for query in serving.queries] == [None, "app=llm", "app=llm"]
    now = 15.0
    await source.read(policy("http://llm.ai.svc:8000"))
    assert len(serving.requests) == 6
    await source.close()


@pytest.mark.parametrize(
    ("call", "answer", "fault"),
    [
        (SERVICE, (404, {"reason": "NotFound", "message": "no such service"}), Fault(
            "NotMeasured", "can't be measured, is there a metrics-server? 404 NotFound: no such service")),
        (SERVICE, (200, {"spec": {}}), Fault("NotMeasured", "can't be measured: Service llm selects no pods")),
        (METRICS, (403, {"reason": "Forbidden", "message": "not yours"}), Fault(
            "Refused", "may not be measured by the operator: 403 Forbidden: not yours")),
        (METRICS, (503, {"reason": "Unavailable", "message": ""}), Fault(
            "Unreachable", "can't be asked: the API server does not answer")),
    ],
)  # fmt: skip
async def test_what_the_api_server_refuses_is_a_fault(
    serving: Any, api: Api, policy: Callable[[str], TokenPolicy], call: str, answer: Any, fault: Fault
) -> None:
    serving.answers[call] = answer
    readings = await KubernetesMetrics(api, ["*"]).read(policy("http://llm.ai.svc:8000"))
    assert readings == {"cpu": Reading(None, fault), "memory": Reading(None, fault)}


async def test_an_upstream_outside_the_cluster_is_not_measured(
    serving: Any, api: Api, policy: Callable[[str], TokenPolicy]
) -> None:
    fault = Fault("NotMeasured", "can't be measured: https://api.example.com is no Service of this cluster")
    readings = await KubernetesMetrics(api).read(policy("https://api.example.com"))
    assert readings == {"cpu": Reading(None, fault), "memory": Reading(None, fault)}
    assert serving.requests == []


async def test_a_policy_asks_about_services_of_its_own_namespace_unless_it_is_trusted(
    api: Api, policy: Callable[[str], TokenPolicy]
) -> None:
    foreign, own = policy("http://llm.ai.svc"), policy("http://llm")
    assert [KubernetesMetrics(api).allows(each) for each in (foreign, own)] == [False, True]
    assert [KubernetesMetrics(api, ["ai"]).allows(each) for each in (foreign, own)] == [False, True]
    assert [KubernetesMetrics(api, ["shop"]).allows(each) for each in (foreign, own)] == [True, True]
