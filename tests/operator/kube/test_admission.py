import copy
import datetime
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forefill_operator.kube import admission, certificates, listeners
from forefill_operator.kube.admission import Injection, Untouched
from forefill_operator.kube.listeners import Candidate
from forefill_operator.kube.sidecar import Surface
from forefill_protocol import podsettings

Object = dict[str, Any]
MakePod = Callable[..., Object]
MakeCandidate = Callable[..., Candidate]


def patched(pod: Object, operations: list[Object]) -> Object:
    """RFC 6902's `add`, the one operation that is used."""
    result = copy.deepcopy(pod)
    for operation in operations:
        assert operation["op"] == "add"
        *parents, last = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
        target: Any = result
        for step in parents:
            target = target[int(step)] if isinstance(target, list) else target[step]
        if isinstance(target, list):
            target.insert(len(target) if last == "-" else int(last), copy.deepcopy(operation["value"]))
        else:
            target[last] = copy.deepcopy(operation["value"])
    return result


def injected(pod: Object, surface: Surface, *candidates: Candidate, namespace: str = "shop") -> Object:
    decision = admission.decide(pod, namespace, {one.policy.key: one for one in candidates}, surface)
    assert isinstance(decision, Injection)
    return patched(pod, decision.operations)


def refusal(pod: Object, surface: Surface, *candidates: Candidate, namespace: str = "shop") -> str:
    decision = admission.decide(pod, namespace, {one.policy.key: one for one in candidates}, surface)
    assert isinstance(decision, Untouched)
    return decision.reason


def sidecar_settings(pod: Object) -> podsettings.PodSettings:
    return podsettings.decode(pod["spec"]["initContainers"][0]["env"][0]["value"])


def test_a_pod_gets_the_sidecar_and_its_surroundings(pod: MakePod, candidate: MakeCandidate, surface: Surface) -> None:
    result = injected(pod(), surface, candidate())
    container = result["spec"]["initContainers"][0]
    settings_variable = container.pop("env")[0]
    assert container == {
        "name": "forefill",
        "image": "ghcr.io/forefill/sidecar:0.1.0",
        "imagePullPolicy": "IfNotPresent",
        "command": ["forefill", "sidecar"],
        "restartPolicy": "Always",
        "ports": [{"name": "forefill", "containerPort": 17020, "protocol": "TCP"}],
        "startupProbe": {
            "httpGet": {"path": "/healthz", "port": 17020},
            "timeoutSeconds": 2,
            "periodSeconds": 1,
            "failureThreshold": 60,
        },
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": 17020},
            "timeoutSeconds": 2,
            "periodSeconds": 5,
            "failureThreshold": 3,
        },
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": 17020},
            "timeoutSeconds": 2,
            "periodSeconds": 10,
            "failureThreshold": 6,
        },
        "resources": {"requests": {"cpu": "10m"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsGroup": 65532,
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "forefill-token", "mountPath": "/var/run/secrets/forefill.io", "readOnly": True},
            {"name": "forefill-state", "mountPath": "/var/lib/forefill"},
        ],
    }
    token = {"audience": "forefill.io", "expirationSeconds": 3600, "path": "token"}
    assert result["spec"]["volumes"] == [
        {"name": "forefill-token", "projected": {"sources": [{"serviceAccountToken": token}]}},
        {"name": "forefill-state", "emptyDir": {"sizeLimit": "8Mi"}},
    ]
    assert result["spec"]["containers"] == [
        {"name": "app", "image": "app:1", "env": [{"name": "OPENAI_BASE_URL", "value": "http://127.0.0.1:17001/v1"}]}
    ]
    assert result["metadata"]["labels"] == {"forefill.io/injected": "true"}
    assert json.loads(result["metadata"]["annotations"]["forefill.io/status"]) == {
        "policies": {"shop/llm": {"port": 17001}},
        "bypassed": [],
    }
    assert settings_variable["name"] == "FOREFILL_SETTINGS"


def test_the_sidecar_can_serve_from_its_settings_alone(
    pod: MakePod, candidate: MakeCandidate, surface: Surface
) -> None:
    settings = sidecar_settings(injected(pod(), surface, candidate(mode="Enforce", counted=50)))
    (listener,) = settings.listeners
    assert (settings.operator, settings.ca_bundle) == (surface.operator, surface.ca_bundle)
    assert (listener.policy, listener.policy_uid, listener.policy_generation) == ("shop/llm", "uid-of-llm", 3)
    assert (listener.port, listener.upstream, listener.mode) == (17001, "http://llm.ai.svc:8000", "Enforce")
    assert (listener.safe_rate, listener.burst) == (2.0, 6.0)
    assert (listener.settings.report_interval_seconds, listener.settings.lease_seconds) == (10.0, 30.0)


@pytest.mark.parametrize(("clients", "rate"), [(0, 20.0), (5, 20.0), (6, 200 / 12), (1000, 0.1)])
def test_safe_rates_of_twice_the_known_clients_fit_into_half_of_max(clients: int, rate: float) -> None:
    assert listeners.safe_rate(400.0, clients) == pytest.approx(rate)


def test_init_containers_reach_the_sidecar_which_starts_before_them(
    pod: MakePod, candidate: MakeCandidate, surface: Surface
) -> None:
    migrate = {"name": "migrate", "image": "app:1", "env": [{"name": "MODE", "value": "up"}]}
    result = injected(pod(initContainers=[migrate]), surface, candidate())
    assert [entry["name"] for entry in result["spec"]["initContainers"]] == ["forefill", "migrate"]
    assert result["spec"]["initContainers"][1]["env"] == [
        {"name": "MODE", "value": "up"},
        {"name": "OPENAI_BASE_URL", "value": "http://127.0.0.1:17001/v1"},
    ]


def test_a_variable_of_the_pod_is_kept_and_named_as_bypassed(
    pod: MakePod, candidate: MakeCandidate, surface: Surface
) -> None:
    own = [{"name": "OPENAI_BASE_URL", "value": "http://elsewhere"}]
    plain = {"name": "other", "image": "app:1"}
    result = injected(pod(containers=[{"name": "app", "image": "app:1", "env": own}, plain]), surface, candidate())
    assert result["spec"]["containers"][0]["env"] == own
    assert "env" in result["spec"]["containers"][1]
    status = json.loads(result["metadata"]["annotations"]["forefill.io/status"])
    assert status["bypassed"] == ["app/OPENAI_BASE_URL"]


def test_several_policies_have_the_next_free_ports(pod: MakePod, candidate: MakeCandidate, surface: Surface) -> None:
    asking = pod(
        {"forefill.io/policy": "llm, tools/search"},
        containers=[{"name": "app", "image": "app:1", "ports": [{"containerPort": 17002}]}],
    )
    search = candidate("tools/search", inject={"env": [{"name": "SEARCH_URL"}]}, clients={"namespaces": ["shop"]})
    result = injected(asking, surface, candidate(), search)
    assert [(one.policy, one.port) for one in sidecar_settings(result).listeners] == [
        ("shop/llm", 17001),
        ("tools/search", 17003),
    ]
    assert result["spec"]["containers"][0]["env"] == [
        {"name": "OPENAI_BASE_URL", "value": "http://127.0.0.1:17001/v1"},
        {"name": "SEARCH_URL", "value": "http://127.0.0.1:17003"},
    ]


def test_what_the_pod_has_is_added_to_and_not_replaced(
    pod: MakePod, candidate: MakeCandidate, surface: Surface
) -> None:
    before = pod(
        {"team": "checkout"},
        {"app": "web"},
        volumes=[{"name": "data", "emptyDir": {}}],
        containers=[{"name": "app", "image": "app:1", "ports": [{"containerPort": 8080}]}],
    )
    after = injected(before, surface, candidate())
    assert after["spec"]["volumes"][0] == {"name": "data", "emptyDir": {}}
    assert after["metadata"]["labels"]["app"] == "web"
    assert after["metadata"]["annotations"]["team"] == "checkout"
    assert after["spec"]["containers"][0]["ports"] == [{"containerPort": 8080}]


@pytest.mark.parametrize(
    ("annotations", "spec", "reason"),
    [
        ({}, {"hostNetwork": True}, "uses hostNetwork"),
        ({}, {"os": {"name": "windows"}}, "is for Windows"),
        ({}, {"containers": [{"name": "forefill", "image": "x"}]}, "container of its own that is named forefill"),
        ({}, {"volumes": [{"name": "forefill-state"}]}, "volume of its own that is named forefill-state"),
        ({}, {"containers": [{"name": "a", "ports": [{"containerPort": 17020}]}]}, "declares port 17020"),
        ({"forefill.io/policy": "nobody"}, {}, "no TokenPolicy shop/nobody"),
        ({"forefill.io/policy": "other/llm"}, {}, "no TokenPolicy other/llm"),
        ({"forefill.io/policy": "Bad Name"}, {}, "names 'Bad Name'"),
        ({"forefill.io/policy": "llm,llm"}, {}, "no policy twice"),
        ({"forefill.io/policy": "llm,"}, {}, "names ''"),
        ({"forefill.io/policy": ",".join(f"p{n}" for n in range(17))}, {}, "at most 16"),
    ],
)
def test_a_pod_that_asks_for_what_can_not_be_stays_as_it_is(
    annotations: dict[str, str], spec: Object, reason: str, pod: MakePod, candidate: MakeCandidate, surface: Surface
) -> None:
    assert reason in refusal(pod(annotations, **spec), surface, candidate())


def test_a_port_of_the_app_is_stepped_over_when_a_variable_says_where_the_sidecar_is(
    pod: MakePod, candidate: MakeCandidate, surface: Surface
) -> None:
    taken = [{"name": "app", "image": "app:1", "ports": [{"containerPort": 17001}, {"containerPort": 17002}]}]
    result = injected(pod(containers=taken), surface, candidate())
    assert [one.port for one in sidecar_settings(result).listeners] == [17003]
    assert result["spec"]["containers"][0]["env"][0]["value"] == "http://127.0.0.1:17003/v1"
    reason = refusal(pod(containers=taken), surface, candidate(inject={"env": []}))
    assert reason == "a container declares port 17001, which is inject.port of TokenPolicy shop/llm"


def test_a_port_of_another_protocol_does_not_clash(pod: MakePod, candidate: MakeCandidate, surface: Surface) -> None:
    udp = [{"name": "app", "image": "app:1", "ports": [{"containerPort": 17001, "protocol": "UDP"}]}]
    assert injected(pod(containers=udp), surface, candidate())


def test_two_policies_can_not_set_one_variable(pod: MakePod, candidate: MakeCandidate, surface: Surface) -> None:
    asking = pod({"forefill.io/policy": "llm, llm-2"})
    reason = refusal(asking, surface, candidate(), candidate("shop/llm-2"))
    assert reason == "two of the pod's TokenPolicies set the variable OPENAI_BASE_URL"


def test_without_a_name_the_namespace_must_have_one_policy(
    pod: MakePod, candidate: MakeCandidate, surface: Surface
) -> None:
    assert injected(pod(), surface, candidate(), candidate("other/search"))
    assert "namespace shop has no TokenPolicy" in refusal(pod(), surface, candidate("other/search"))
    reason = refusal(pod(), surface, candidate(), candidate("shop/search"))
    assert "namespace shop has 2 TokenPolicies (shop/llm, shop/search)" in reason


@pytest.mark.parametrize(
    ("clients", "namespace", "labels", "admitted"),
    [
        ({}, "shop", None, True),
        ({}, "other", None, False),
        ({"namespaces": ["other"]}, "other", None, True),
        ({"namespaces": ["other"]}, "shop", None, False),
        ({"podSelector": {"matchLabels": {"tier": "web"}}}, "shop", {"tier": "web"}, True),
        ({"podSelector": {"matchLabels": {"tier": "web"}}}, "shop", {"tier": "batch"}, False),
        ({"podSelector": {"matchLabels": {"tier": "web"}}}, "shop", None, False),
    ],
)
def test_the_policy_must_admit_the_pod(
    clients: Object,
    namespace: str,
    labels: dict[str, str] | None,
    admitted: bool,
    pod: MakePod,
    candidate: MakeCandidate,
    surface: Surface,
) -> None:
    asking = pod({"forefill.io/policy": "shop/llm"}, labels)
    decision = admission.decide(asking, namespace, {"shop/llm": candidate(clients=clients)}, surface)
    assert isinstance(decision, Injection) is admitted
    if isinstance(decision, Untouched):
        assert decision.reason == "TokenPolicy shop/llm does not admit this pod: see its spec.clients"


def test_settings_that_no_environment_holds_are_refused(
    pod: MakePod, candidate: MakeCandidate, surface: Surface
) -> None:
    certificate = certificates.make_authority("ca", datetime.datetime.now(datetime.UTC)).certificate.decode()
    bundle = certificate * (50_000 // len(certificate))
    names = ["one", "two", "three"]
    policies = [
        candidate(f"shop/{name}", upstream={"url": "https://llm", "caBundle": bundle}, inject={"env": []})
        for name in names
    ]
    assert "too large" in refusal(pod({"forefill.io/policy": ",".join(names)}), surface, *policies)


annotation_values = st.one_of(st.none(), st.sampled_from(["false", "True", "yes", "", "enabled"]))
names = st.text("abc-", min_size=1, max_size=5)
containers = st.lists(st.fixed_dictionaries({"name": names, "image": names}), min_size=1, max_size=3)


@given(value=annotation_values, containers=containers)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_pod_that_did_not_ask_is_untouched(
    value: str | None, containers: list[Object], candidate: MakeCandidate, surface: Surface
) -> None:
    annotations = None if value is None else {"forefill.io/inject": value}
    quiet = {"metadata": {"name": "web", "annotations": annotations}, "spec": {"containers": containers}}
    assert admission.decide(quiet, "shop", {"shop/llm": candidate()}, surface) == Untouched()


@given(
    containers=st.lists(
        st.fixed_dictionaries(
            {"name": names},
            optional={
                "env": st.lists(
                    st.sampled_from([{"name": "OPENAI_BASE_URL", "value": "x"}, {"name": "B", "value": "y"}]),
                    max_size=2,
                    unique_by=lambda variable: variable["name"],
                ),
                "ports": st.lists(st.sampled_from([{"containerPort": 8080}, {"containerPort": 17003}]), max_size=2),
            },
        ),
        min_size=1,
        max_size=4,
    ),
    initial=st.integers(0, 2),
    volumes=st.one_of(st.none(), st.just([]), st.just([{"name": "data"}])),
    labels=st.one_of(st.none(), st.just({}), st.just({"app": "web"})),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_injecting_twice_is_injecting_once(
    containers: list[Object],
    initial: int,
    volumes: list[Object] | None,
    labels: dict[str, str] | None,
    candidate: MakeCandidate,
    surface: Surface,
) -> None:
    split = min(initial, len(containers) - 1)
    before: Object = {
        "metadata": {"annotations": {"forefill.io/inject": "true"}, "labels": labels},
        "spec": {"initContainers": containers[:split], "containers": containers[split:], "volumes": volumes},
    }
    original = copy.deepcopy(before)
    once = injected(before, surface, candidate())
    assert before == original
    assert admission.decide(once, "shop", {"shop/llm": candidate()}, surface) == Untouched()
    for entry in [*once["spec"]["initContainers"][1:], *once["spec"]["containers"]]:
        names_set = [variable["name"] for variable in entry["env"]]
        assert names_set.count("OPENAI_BASE_URL") == 1
