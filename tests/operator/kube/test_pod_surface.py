"""The pod surface: what else may be in a pod, and what the sidecar does beside it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from forefill_operator.kube import admission, patches
from forefill_operator.kube.admission import Injection, Untouched
from forefill_operator.kube.listeners import Candidate
from forefill_operator.kube.sidecar import Surface

Object = dict[str, Any]
MakePod = Callable[..., Object]
MakeCandidate = Callable[..., Candidate]
EXCLUDE = "traffic.sidecar.istio.io/excludeInboundPorts"
SKIP = "config.linkerd.io/skip-inbound-ports"


def injected(pod: Object, surface: Surface, candidate: Candidate, **more: Any) -> Object:
    decision = admission.decide(pod, "shop", {candidate.policy.key: candidate}, surface, **more)
    assert isinstance(decision, Injection)
    result: Object = patches.apply(pod, decision.operations)
    return result


def refused(pod: Object, surface: Surface, candidate: Candidate) -> Untouched:
    decision = admission.decide(pod, "shop", {candidate.policy.key: candidate}, surface)
    assert isinstance(decision, Untouched)
    return decision


def sidecar(pod: Object) -> Object:
    (found,) = [entry for entry in pod["spec"]["initContainers"] if entry["name"] == "forefill"]
    return dict(found)


def test_a_refusal_stands_in_the_pods_status_and_changes_nothing_else(
    pod: MakePod, candidate: MakeCandidate, surface: Surface
) -> None:
    before = pod({"team": "checkout"}, os={"name": "windows"})
    decision = refused(before, surface, candidate())
    after = patches.apply(before, decision.operations)
    told = after["metadata"]["annotations"].pop("forefill.io/status")
    assert json.loads(told) == {"refused": "the pod is for Windows, and the sidecar's image is for Linux"}
    assert after == before


def test_refusing_twice_is_refusing_once(pod: MakePod, candidate: MakeCandidate, surface: Surface) -> None:
    first = refused(pod(hostNetwork=True), surface, candidate())
    again = refused(patches.apply(pod(hostNetwork=True), first.operations), surface, candidate())
    assert (again.reason, again.operations) == (first.reason, [])


def test_a_pod_that_is_scheduled_to_windows_is_refused(
    pod: MakePod, candidate: MakeCandidate, surface: Surface
) -> None:
    assert "is for Windows" in refused(pod(nodeSelector={"kubernetes.io/os": "windows"}), surface, candidate()).reason
    assert injected(pod(nodeSelector={"kubernetes.io/os": "linux"}), surface, candidate())


@pytest.mark.parametrize(
    ("inject", "by_default", "gets_one"),
    [(None, True, True), (None, False, False), ("false", True, False), ("true", False, True), ("yes", True, False)],
)
def test_the_pods_own_word_goes_over_its_namespaces(
    inject: str | None, by_default: bool, gets_one: bool, pod: MakePod, candidate: MakeCandidate, surface: Surface
) -> None:
    asking = pod()
    asking["metadata"]["annotations"] = {} if inject is None else {"forefill.io/inject": inject}
    decision = admission.decide(asking, "shop", {"shop/llm": candidate()}, surface, by_default=by_default)
    assert isinstance(decision, Injection) is gets_one


def test_a_mesh_leaves_the_health_port_alone(pod: MakePod, candidate: MakeCandidate, surface: Surface) -> None:
    annotations = injected(pod(), surface, candidate())["metadata"]["annotations"]
    assert (annotations[EXCLUDE], annotations[SKIP]) == ("17020", "17020")


def test_what_a_pod_excludes_from_its_mesh_stays_excluded(
    pod: MakePod, candidate: MakeCandidate, surface: Surface
) -> None:
    before = pod({EXCLUDE: "9090, 9091", SKIP: "17020"})
    annotations = injected(before, surface, candidate())["metadata"]["annotations"]
    assert (annotations[EXCLUDE], annotations[SKIP]) == ("9090,9091,17020", "17020")


@pytest.mark.parametrize("mesh", [["istio-init", "istio-proxy"], ["linkerd-init", "linkerd-proxy"]])
def test_behind_a_mesh_that_came_first_and_before_everything_else(
    mesh: list[str], pod: MakePod, candidate: MakeCandidate, surface: Surface
) -> None:
    containers = [{"name": name, "image": "mesh:1"} for name in mesh]
    before = pod(initContainers=[*containers, {"name": "migrate", "image": "app:1"}])
    result = injected(before, surface, candidate())
    assert [entry["name"] for entry in result["spec"]["initContainers"]] == [*mesh, "forefill", "migrate"]
    assert result["spec"]["initContainers"][:2] == containers
    assert result["spec"]["initContainers"][3]["env"][0]["name"] == "OPENAI_BASE_URL"
    again = admission.decide(result, "shop", {"shop/llm": candidate()}, surface)
    assert again == Untouched()


def test_other_native_sidecars_start_after_it_and_reach_it(
    pod: MakePod, candidate: MakeCandidate, surface: Surface
) -> None:
    other = {"name": "sql-proxy", "image": "sql:1", "restartPolicy": "Always"}
    result = injected(pod(initContainers=[other]), surface, candidate())
    assert [entry["name"] for entry in result["spec"]["initContainers"]] == ["forefill", "sql-proxy"]
    assert result["spec"]["initContainers"][1]["env"][0]["name"] == "OPENAI_BASE_URL"


VALUES = {"requests": {"cpu": "10m", "memory": "40Mi"}, "limits": {"memory": "128Mi"}}


@pytest.mark.parametrize(
    ("policy", "pod_says", "resources"),
    [
        ({}, {}, VALUES),
        ({}, {"cpu": "50m"}, {**VALUES, "requests": {"cpu": "50m", "memory": "40Mi"}}),
        ({"cpu": "30m"}, {}, {**VALUES, "requests": {"cpu": "30m", "memory": "40Mi"}}),
        ({"cpu": "30m"}, {"cpu": "50m"}, {**VALUES, "requests": {"cpu": "50m", "memory": "40Mi"}}),
        ({}, {"cpu-limit": "200m"}, {"requests": VALUES["requests"], "limits": {"memory": "128Mi", "cpu": "200m"}}),
        # A request above the inherited limit raises it, a limit below the inherited request lowers that.
        ({}, {"memory": "1Gi"}, {"requests": {"cpu": "10m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}),
        ({}, {"memory-limit": "36Mi"}, {"requests": {"cpu": "10m", "memory": "36Mi"}, "limits": {"memory": "36Mi"}}),
        (
            {"memory": "64Mi", "memory-limit": "64Mi"},
            {"memory": "96Mi"},
            {"requests": {"cpu": "10m", "memory": "96Mi"}, "limits": {"memory": "96Mi"}},
        ),
    ],
)
def test_the_sidecars_size_is_of_the_values_then_the_policy_then_the_pod(
    policy: dict[str, str], pod_says: dict[str, str], resources: Object, pod: MakePod, candidate: MakeCandidate
) -> None:
    surface = Surface(image="sidecar:1", operator="", ca_bundle="", resources=VALUES)
    named = Candidate(candidate().policy, 0, {f"forefill.io/{name}": value for name, value in policy.items()})
    asking = pod({f"forefill.io/{name}": value for name, value in pod_says.items()})
    assert sidecar(injected(asking, surface, named))["resources"] == resources


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"cpu": "many"}, "forefill.io/cpu is 'many', but a quantity above 0"),
        ({"memory": "0"}, "forefill.io/memory is '0', but a quantity above 0"),
        ({"memory": "-1Mi"}, "forefill.io/memory is '-1Mi', but a quantity above 0"),
        ({"cpu": "2", "cpu-limit": "1500m"}, "forefill.io/cpu-limit is '1500m', but must be at least the request, '2'"),
        ({"memory-limit": "8Mi"}, "forefill.io/memory-limit is '8Mi', but a sidecar needs 32Mi to start"),
    ],
)
def test_sizes_that_can_not_be_are_refused(
    said: dict[str, str], words: str, pod: MakePod, candidate: MakeCandidate, surface: Surface
) -> None:
    asking = pod({f"forefill.io/{name}": value for name, value in said.items()})
    assert words in refused(asking, surface, candidate()).reason
