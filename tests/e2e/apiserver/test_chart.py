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
    """The pod of `helm test` among them."""
    namespace = "forefill-apiserver-restricted"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    api_server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
    tests = [entry for entry in objects if entry["kind"] == "Pod"]
    assert len(tests) == 1
    for number, pod in enumerate([*pods(objects), *tests]):
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
    asked, by_default = one(objects, "MutatingWebhookConfiguration", "system-forefill")["webhooks"]
    others = {
        "key": "kubernetes.io/metadata.name",
        "operator": "NotIn",
        "values": ["kube-system", "kube-node-lease", "system"],
    }
    labelled = {"key": "forefill.io/inject", "operator": "In", "values": ["enabled"]}
    assert asked["namespaceSelector"]["matchExpressions"] == [others]
    assert by_default["namespaceSelector"]["matchExpressions"] == [others, labelled]
    for webhook in (asked, by_default):
        assert (webhook["failurePolicy"], webhook["timeoutSeconds"], webhook["sideEffects"]) == ("Ignore", 5, "None")


EVERYTHING = [
    "--set=serviceMonitor.enabled=true,podMonitor.enabled=true,prometheusRule.enabled=true,dashboard.enabled=true",
    "--set=networkPolicy.enabled=true,operator.priorityClassName=high,injector.priorityClassName=high",
    "--set=loadSources.default.url=https://prometheus:9090,loadSources.default.namespaces={*},loadSecrets={prometheus}",
    "--set=commonLabels.team=platform,operator.podLabels.a=b,operator.tolerations[0].operator=Exists",
]


def test_with_every_switch_on_the_api_server_takes_every_object(api_server: ApiServer) -> None:
    objects = rendered(api_server, "--set=crds.enabled=false", *EVERYTHING)
    assert len(objects) > 20
    api_server.kubectl("create", "namespace", "system", check=False)
    for entry in objects:
        if not entry["apiVersion"].startswith(("monitoring.coreos.com/", "cert-manager.io/")):
            done = api_server.create(entry, "--dry-run=server", "--validate=strict")
            assert done.returncode == 0, done.stderr


def test_load_sources_and_their_secrets_reach_the_operator(api_server: ApiServer) -> None:
    objects = rendered(api_server, *EVERYTHING)
    sources = yaml.safe_load(one(objects, "ConfigMap", "forefill-load-sources")["data"]["sources.yaml"])
    assert sources == {"default": {"url": "https://prometheus:9090", "namespaces": ["*"]}}
    spec = one(objects, "Deployment", "forefill-operator")["spec"]["template"]["spec"]
    mounts = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts == {
        "tmp": "/tmp",
        "load-sources": "/load-sources",
        "load-secret-prometheus": "/load-secrets/prometheus",
    }
    assert {volume["name"] for volume in spec["volumes"]} == set(mounts)
    assert "--load-sources=/load-sources/sources.yaml" in spec["containers"][0]["args"]


def test_injectors_spread_by_their_own_labels(objects: list[Object]) -> None:
    pod = one(objects, "Deployment", "forefill-injector")["spec"]["template"]
    for constraint in pod["spec"]["topologySpreadConstraints"]:
        chosen = constraint["labelSelector"]["matchLabels"]
        assert chosen["app.kubernetes.io/component"] == "injector"
        assert chosen.items() <= pod["metadata"]["labels"].items()


def test_network_policies_let_sidecars_the_api_server_and_scrapers_in(api_server: ApiServer) -> None:
    objects = rendered(api_server, *EVERYTHING)
    operator, injector = (
        one(objects, "NetworkPolicy", f"forefill-{name}")["spec"] for name in ("operator", "injector")
    )
    assert [[port["port"] for port in rule["ports"]] for rule in operator["ingress"]] == [[8443], [8080]]
    (sidecars,) = operator["ingress"][0]["from"]
    assert sidecars["podSelector"]["matchLabels"] == {"forefill.io/injected": "true"}
    assert [[port["port"] for port in rule["ports"]] for rule in injector["ingress"]] == [[9443], [8080]]
    for spec in (operator, injector):
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        assert [[port["port"] for port in rule["ports"]] for rule in spec["egress"]] == [[53, 53], [443, 6443]]


def test_with_cert_manager_the_operator_keeps_no_authority_and_may_touch_none(api_server: ApiServer) -> None:
    objects = rendered(api_server, "--set=certManager.enabled=true")
    assert {entry["metadata"]["name"] for entry in objects if entry["kind"] == "Secret"} == {"forefill-tickets"}
    (rule, _) = one(objects, "Role", "forefill-operator")["rules"]
    assert rule["resourceNames"] == ["forefill-tickets"]
    resources = [
        name for rule in one(objects, "ClusterRole", "system-forefill-operator")["rules"] for name in rule["resources"]
    ]
    assert "mutatingwebhookconfigurations" not in resources
    webhook = one(objects, "MutatingWebhookConfiguration", "system-forefill")
    assert webhook["metadata"]["annotations"] == {"cert-manager.io/inject-ca-from": "system/forefill-injector"}
    for name in ("operator", "injector"):
        certificate = one(objects, "Certificate", f"forefill-{name}")["spec"]
        volumes = one(objects, "Deployment", f"forefill-{name}")["spec"]["template"]["spec"]["volumes"]
        mounted = {volume["name"]: volume for volume in volumes}["certificates"]["secret"]["secretName"]
        assert mounted == certificate["secretName"]
        assert certificate["dnsNames"][0] == f"forefill-{name}.system.svc"
        assert certificate["issuerRef"] == {"name": "forefill", "kind": "Issuer"}
    (container,) = one(objects, "Deployment", "forefill-operator")["spec"]["template"]["spec"]["containers"]
    chosen = operator_parser().parse_args(container["args"])
    assert (str(chosen.certificates), chosen.ticket_secret, chosen.ca_secret) == (
        "/certificates",
        "forefill-tickets",
        None,
    )


def test_an_issuer_of_ones_own_needs_none_of_ours(api_server: ApiServer) -> None:
    objects = rendered(
        api_server,
        "--set=certManager.enabled=true,certManager.issuerRef.name=corp,certManager.issuerRef.kind=ClusterIssuer",
    )
    assert not [entry for entry in objects if entry["kind"] == "Issuer"]
    assert one(objects, "Certificate", "forefill-operator")["spec"]["issuerRef"] == {
        "name": "corp",
        "kind": "ClusterIssuer",
    }


def test_alerts_lead_to_the_pages_that_the_values_name(api_server: ApiServer) -> None:
    objects = rendered(
        api_server, "--set=prometheusRule.enabled=true,prometheusRule.runbooks=https://wiki.example/forefill/"
    )
    (group,) = one(objects, "PrometheusRule", "forefill")["spec"]["groups"]
    assert group["rules"][0]["annotations"]["runbook_url"] == "https://wiki.example/forefill/operator-away.md"


def test_operators_that_share_a_store_roll_and_need_no_lease(api_server: ApiServer) -> None:
    url = "rediss://forefill@redis.ns.svc:6379"
    objects = rendered(
        api_server,
        f"--set=operator.replicas=3,store.url={url},store.passwordSecret=redis-password,store.caSecret=redis-ca",
    )
    spec = one(objects, "Deployment", "forefill-operator")["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    secrets = {
        each["name"]: each["secret"]["secretName"] for each in spec["template"]["spec"]["volumes"] if "secret" in each
    }
    assert (spec["replicas"], spec["strategy"]) == (3, {"type": "RollingUpdate"})
    assert {
        f"--store={url}", "--name=$(POD_NAME)", "--store-password-file=/store-password/password",
        "--store-ca-file=/store-ca/ca.crt",
    } <= {*container["args"]}  # fmt: skip
    assert not [argument for argument in container["args"] if argument.startswith("--lease")]
    assert secrets == {"store-password": "redis-password", "store-ca": "redis-ca"}
    assert "leases" not in json.dumps(one(objects, "Role", "forefill-operator")["rules"])
    assert not [each for each in objects if each["kind"] == "Lease"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"operatr": {}}, "operatr"),
        ({"webhook": {"failurePolicy": "Sometimes"}}, "failurePolicy"),
        ({"injector": {"replicas": 0}}, "replicas"),
        ({"image": {"sidecar": {"digest": "latest"}}}, "digest"),
        ({"operator": {"logLevel": "loud"}}, "logLevel"),
        ({"injector": {"logFormat": "xml"}}, "logFormat"),
        ({"loadSources": {"default": {"url": "https://user@prometheus", "namespaces": ["*"]}}}, "url"),
        ({"loadSources": {"default": {"url": "https://prometheus"}}}, "namespaces"),
        ({"networkPolicy": {"apiServerPorts": [70000]}}, "apiServerPorts"),
        ({"prometheusRule": {"runbooks": "wiki"}}, "runbooks"),
        ({"operator": {"replicas": 2}}, "store"),
        ({"store": {"url": "http://redis"}}, "url"),
        ({"store": {"url": "redis://user:secret@redis"}}, "url"),
    ],
)
def test_values_that_can_not_be_are_refused(values: Object, words: str, api_server: ApiServer, tmp_path: Path) -> None:
    path = tmp_path / "values.json"
    path.write_text(json.dumps(values))
    refused = api_server.helm("template", "forefill", str(CHART), "-f", str(path), check=False)
    assert refused.returncode != 0
    assert words in refused.stderr
