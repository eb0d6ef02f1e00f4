"""What helm makes of the chart: it needs helm, but not the API server."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from forefill_operator.command import parser as operator_parser
from forefill_operator.kube.injector import parser as injector_parser
from forefill_operator.kube.service import REQUIRED

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

CHART = Path(__file__).parents[3] / "charts" / "forefill"
ApiServer = Any
Object = dict[str, Any]


def rendered(server: ApiServer, *words: str, release: str = "forefill") -> list[Object]:
    text = server.helm("template", release, str(CHART), "-n", "system", *words).stdout
    return [document for document in yaml.safe_load_all(text) if document]


def one(objects: list[Object], kind: str, name: str) -> Object:
    (found,) = [entry for entry in objects if (entry["kind"], entry["metadata"]["name"]) == (kind, name)]
    return found


@pytest.fixture(scope="module")
def objects(api_server: ApiServer) -> list[Object]:
    return rendered(api_server)


def pods(objects: list[Object]) -> list[Object]:
    return [entry["spec"]["template"] for entry in objects if entry["kind"] == "Deployment"]


def test_the_chart_passes_the_lint(api_server: ApiServer) -> None:
    assert "0 chart(s) failed" in api_server.helm("lint", "--strict", str(CHART)).stdout


def test_the_arguments_are_those_of_the_commands(objects: list[Object]) -> None:
    operator, injector = (pod["spec"]["containers"][0]["args"] for pod in sorted(pods(objects), key=component))
    chosen = operator_parser().parse_args(operator)
    assert [name for name in REQUIRED if not getattr(chosen, name)] == []
    injected = injector_parser().parse_args(injector)
    assert injected.operator == "wss://forefill-operator.system.svc:8443/v1/stream"
    assert injected.resources["requests"] == {"cpu": "10m", "memory": "40Mi"}


def component(pod: Object) -> bool:
    label: str = pod["metadata"]["labels"]["app.kubernetes.io/component"]
    return label != "operator"


def test_services_and_budgets_select_the_pods(objects: list[Object]) -> None:
    for entry in objects:
        if entry["kind"] not in ("Service", "PodDisruptionBudget", "Deployment"):
            continue
        selector = entry["spec"]["selector"]
        labels = selector.get("matchLabels", selector)
        selected = [pod for pod in pods(objects) if labels.items() <= pod["metadata"]["labels"].items()]
        names = {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in selected}
        assert names == {entry["metadata"]["labels"]["app.kubernetes.io/component"]}


def test_every_object_has_the_recommended_labels_and_a_namespace(objects: list[Object]) -> None:
    without_namespace = {
        "ClusterRole", "ClusterRoleBinding", "MutatingWebhookConfiguration", "CustomResourceDefinition"
    }  # fmt: skip
    for entry in objects:
        assert entry["metadata"].get("namespace") == (None if entry["kind"] in without_namespace else "system")
        if entry["kind"] != "CustomResourceDefinition":
            recommended = {"name", "instance", "component", "version", "part-of", "managed-by"}
            assert {f"app.kubernetes.io/{label}" for label in recommended} <= set(entry["metadata"]["labels"])


def test_pods_meet_restricted_pod_security(api_server: ApiServer, objects: list[Object]) -> None:
    namespace = "forefill-apiserver-restricted"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    api_server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
    for number, pod in enumerate(pods(objects)):
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p{number}", "namespace": namespace}}
        created = api_server.create({**manifest, "spec": pod["spec"]}, "--dry-run=server")
        assert created.returncode == 0, created.stderr


def test_two_releases_share_no_name(api_server: ApiServer, objects: list[Object]) -> None:
    other = rendered(api_server, "--set=crds.enabled=false", release="other")
    names = {(entry["kind"], entry["metadata"]["name"]) for entry in objects}
    assert names.isdisjoint((entry["kind"], entry["metadata"]["name"]) for entry in other)


def test_the_resource_can_be_left_out(api_server: ApiServer) -> None:
    kinds = {entry["kind"] for entry in rendered(api_server, "--set=crds.enabled=false")}
    assert "CustomResourceDefinition" not in kinds


def test_digests_win_over_tags(api_server: ApiServer) -> None:
    digest = f"sha256:{'0' * 64}"
    objects = rendered(api_server, f"--set=image.operator.digest={digest}", "--set-string=image.sidecar.tag=9")
    (container,) = one(objects, "Deployment", "forefill-injector")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"ghcr.io/forefill/operator@{digest}"
    assert "--image=ghcr.io/forefill/sidecar:9" in container["args"]


def test_namespaces_of_the_system_and_of_the_release_are_left_alone(objects: list[Object]) -> None:
    (webhook,) = one(objects, "MutatingWebhookConfiguration", "system-forefill")["webhooks"]
    (expression,) = webhook["namespaceSelector"]["matchExpressions"]
    assert expression == {
        "key": "kubernetes.io/metadata.name",
        "operator": "NotIn",
        "values": ["kube-system", "kube-node-lease", "system"],
    }
    assert (webhook["failurePolicy"], webhook["timeoutSeconds"], webhook["sideEffects"]) == ("Ignore", 5, "None")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"operatr": {}}, "operatr"),
        ({"webhook": {"failurePolicy": "Sometimes"}}, "failurePolicy"),
        ({"injector": {"replicas": 0}}, "replicas"),
        ({"image": {"sidecar": {"digest": "latest"}}}, "digest"),
        ({"operator": {"logLevel": "loud"}}, "logLevel"),
    ],
)
def test_values_that_can_not_be_are_refused(values: Object, words: str, api_server: ApiServer, tmp_path: Path) -> None:
    path = tmp_path / "values.json"
    path.write_text(json.dumps(values))
    refused = api_server.helm("template", "forefill", str(CHART), "-f", str(path), check=False)
    assert refused.returncode != 0
    assert words in refused.stderr


def test_every_value_is_in_the_schema_and_no_other(api_server: ApiServer) -> None:
    described = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(described["properties"]) - set(values) == {"global"}
    for name, value in values.items():
        if isinstance(value, dict) and "properties" in described["properties"][name]:
            assert set(value) == set(described["properties"][name]["properties"])
