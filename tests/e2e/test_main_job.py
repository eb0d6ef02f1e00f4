"""The whole loop on a real node: install, inject, meter, shape, edit, restart, delete, uninstall."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import workload

Cluster = Any
Object = dict[str, Any]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NAMESPACE = "forefill-e2e"
SYSTEM = "forefill-system"
HEALTH = 17020
OPERATOR = "app.kubernetes.io/component=operator"
ALLOWED = f'forefill_sidecar_allowed_tokens_per_second{{policy="{NAMESPACE}/llm"}}'
OFFERED = f'forefill_sidecar_offered_tokens_total{{policy="{NAMESPACE}/llm"}}'
OVER_GRANT = f'forefill_policy_over_grant{{policy="{NAMESPACE}/llm"}}'


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[Cluster]:
    """A namespace under restricted Pod Security with an upstream, a policy, and an annotated app that calls it."""
    image = cluster.cluster.operator_image
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait")
    cluster.apply(workload.namespace(NAMESPACE))
    cluster.until(lambda: policy_is_known(cluster), what="the resource is served")
    app = workload.deployment("app", NAMESPACE, image, workload.APP, inject=True, replicas=2)
    cluster.apply(*workload.upstream(NAMESPACE, image), workload.policy("llm", NAMESPACE), app)
    for name in ("upstream", "app"):
        cluster.kubectl("rollout", "status", "-n", NAMESPACE, f"deployment/{name}", "--timeout=120s")
    yield cluster
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait")


def policy_is_known(cluster: Cluster) -> bool:
    return bool(cluster.kubectl("get", "tokenpolicies", "-A", check=False).returncode == 0)


def app_pods(cluster: Cluster) -> list[str]:
    return [pod["metadata"]["name"] for pod in cluster.pods(NAMESPACE, "app=app")]


def outcomes(cluster: Cluster, since: str = "") -> list[str]:
    """What every request of the app came to, as its pods logged them."""
    more = [f"--since-time={since}"] if since else []
    logs = cluster.kubectl("logs", "-n", NAMESPACE, "-l", "app=app", "-c", "app", "--tail=-1", *more).stdout
    return re.findall(r"^outcome (.*)$", logs, re.MULTILINE)


def operator_pod(cluster: Cluster) -> str:
    return str(cluster.pods(SYSTEM, OPERATOR)[0]["metadata"]["name"])


def sidecar_of(pod: Object) -> Object:
    found: Object = next(c for c in pod["spec"]["initContainers"] if c["name"] == "forefill")
    return found


def test_the_release_tests_itself(shop: Cluster) -> None:
    assert "Phase:          Succeeded" in shop.helm("test", "forefill", "-n", SYSTEM, "--timeout=120s").stdout


def test_an_annotated_pod_has_its_sidecar_and_is_ready(shop: Cluster) -> None:
    for pod in shop.pods(NAMESPACE, "app=app"):
        sidecar = sidecar_of(pod)
        assert sidecar["restartPolicy"] == "Always"
        assert sidecar["image"] == shop.cluster.sidecar_image
        ready = {c["type"]: c["status"] for c in pod["status"]["conditions"]}
        assert ready["Ready"] == "True"
        variables = {v["name"]: v.get("value") for v in pod["spec"]["containers"][0]["env"]}
        assert variables["LLM_BASE_URL"] == "http://127.0.0.1:17001"
        mounts = {m["mountPath"] for m in pod["spec"]["containers"][0]["volumeMounts"]}
        assert not any("forefill" in path for path in mounts)


def test_traffic_through_the_sidecar_is_metered_and_served(shop: Cluster) -> None:
    for pod in app_pods(shop):
        before = shop.metric(NAMESPACE, pod, HEALTH, OFFERED)
        shop.until(lambda pod=pod, before=before: shop.metric(NAMESPACE, pod, HEALTH, OFFERED) > before + 5)  # type: ignore[misc]
    assert set(outcomes(shop)) == {"200"}


def test_the_policy_says_what_is_enforced(shop: Cluster) -> None:
    shop.until(lambda: shop.condition(NAMESPACE, "llm", "Enforced")["status"] == "True")
    accepted, enforced = (shop.condition(NAMESPACE, "llm", kind) for kind in ("Accepted", "Enforced"))
    assert (accepted["status"], accepted["reason"]) == ("True", "Accepted")
    assert (enforced["reason"], enforced["message"]) == ("Acknowledged", "Every client runs this generation")
    status = shop.get("tokenpolicy", "-n", NAMESPACE, "llm")["status"]
    assert status["clients"] == 2
    assert len(status["topClients"]) == 2
    columns = shop.kubectl("get", "tp", "-n", NAMESPACE).stdout.splitlines()
    assert columns[0].split()[0] == "NAME"


def allowed(shop: Cluster, pods: list[str]) -> float:
    """Tokens/s of all buckets at one moment: what moves between the readings of two pods would count twice, so two
    rounds of readings have to be alike.
    """
    before: list[float] = []
    for _ in range(50):
        rates = [shop.metric(NAMESPACE, pod, HEALTH, ALLOWED) for pod in pods]
        if rates == before:
            return sum(rates)
        before = rates
    raise AssertionError(f"the buckets never stood still between two rounds of readings: {before}")


def test_an_edit_reaches_every_bucket_within_two_intervals_and_enforced_only_then(shop: Cluster) -> None:
    shop.until(lambda: shop.condition(NAMESPACE, "llm", "Enforced")["status"] == "True")
    pods = app_pods(shop)

    def shared() -> bool:
        return allowed(shop, pods) <= 30.0

    assert not shared()
    shop.patch(NAMESPACE, "llm", {"fillRate": {"base": 20, "min": 10, "max": 30}})
    generation = shop.get("tokenpolicy", "-n", NAMESPACE, "llm")["metadata"]["generation"]
    took = shop.until(shared, seconds=10.0, what="the sum of the buckets is at most the new maximum")
    assert took <= 2 * 2.0 + 1.0
    shop.until(lambda: shop.condition(NAMESPACE, "llm", "Enforced").get("observedGeneration") == generation)
    enforced = shop.condition(NAMESPACE, "llm", "Enforced")
    assert (enforced["status"], shared()) == ("True", True)


def test_a_pod_that_is_not_annotated_is_untouched_byte_for_byte(shop: Cluster, plain_pod: Object) -> None:
    from conftest import dry_run  # type: ignore[import-not-found]

    after = dry_run(shop, "default")
    assert json.dumps(after, sort_keys=True) == json.dumps(plain_pod, sort_keys=True)


def test_an_invalid_policy_is_refused_with_a_sentence_that_names_the_field(shop: Cluster) -> None:
    manifest = workload.policy("bad", NAMESPACE, fillRate={"base": 10, "min": 200, "max": 100})
    done = shop.kubectl("apply", "-f", "-", text=json.dumps(manifest), check=False)
    assert done.returncode != 0
    assert "spec.fillRate" in done.stderr
    assert "min" in done.stderr


def test_what_cel_cannot_see_is_a_condition_with_a_reason(shop: Cluster) -> None:
    bundle = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    upstream = {"url": "https://llm.ai.svc:8443", "caBundle": bundle}
    shop.apply(workload.policy("untrusted", NAMESPACE, upstream=upstream))
    shop.until(lambda: shop.condition(NAMESPACE, "untrusted", "Accepted")["status"] == "False")
    accepted = shop.condition(NAMESPACE, "untrusted", "Accepted")
    assert accepted["reason"] == "InvalidSpec"
    assert "spec.upstream.caBundle" in accepted["message"]
    shop.kubectl("delete", "tokenpolicy", "-n", NAMESPACE, "untrusted")


def test_a_restart_of_the_operator_under_load_drops_no_request_and_never_over_grants(shop: Cluster) -> None:
    since = shop.kubectl("exec", "-n", NAMESPACE, app_pods(shop)[0], "-c", "app", "--", "date", "-u", "+%FT%TZ").stdout
    shop.kubectl("delete", "pod", "-n", SYSTEM, operator_pod(shop), "--grace-period=0", "--force")
    over_grants = []

    def settled() -> bool:
        over_grants.append(shop.metric(SYSTEM, operator_pod(shop), 8080, OVER_GRANT))
        return shop.condition(NAMESPACE, "llm", "Enforced")["status"] == "True" and clients_known()

    def clients_known() -> bool:
        name = f'forefill_policy_clients{{policy="{NAMESPACE}/llm"}}'
        return bool(shop.metric(SYSTEM, operator_pod(shop), 8080, name) == 2.0)

    shop.kubectl("rollout", "status", "-n", SYSTEM, "deployment/forefill-operator", "--timeout=120s")
    shop.until(settled, seconds=60.0)
    seen = outcomes(shop, since.strip())
    assert len(seen) > 20
    assert set(seen) == {"200"}
    assert set(over_grants) == {0.0}


def test_with_the_operator_down_annotated_pods_start_injected_and_run_at_the_safe_rate(shop: Cluster) -> None:
    shop.kubectl("scale", "-n", SYSTEM, "deployment/forefill-operator", "--replicas=0")
    # One that is ending still answers.
    gone = ("get", "pods", "-n", SYSTEM, "-l", OPERATOR, "-o", "name")
    shop.until(lambda: not shop.kubectl(*gone).stdout, what="the operator is away")
    shop.kubectl("rollout", "restart", "-n", NAMESPACE, "deployment/app")
    shop.kubectl("rollout", "status", "-n", NAMESPACE, "deployment/app", "--timeout=120s")
    pod = shop.pods(NAMESPACE, "app=app")[0]
    name = pod["metadata"]["name"]
    assert sidecar_of(pod)["image"] == shop.cluster.sidecar_image
    shop.until(lambda: shop.metric(NAMESPACE, name, HEALTH, ALLOWED) > 0.0, what="the safe rate is there")
    assert shop.metric(NAMESPACE, name, HEALTH, ALLOWED) == pytest.approx(0.5 * 30 / 10)
    shop.until(lambda: "200" in outcomes(shop))
    shop.kubectl("scale", "-n", SYSTEM, "deployment/forefill-operator", "--replicas=1")
    shop.kubectl("rollout", "status", "-n", SYSTEM, "deployment/forefill-operator", "--timeout=120s")
    shop.until(lambda: shop.metric(NAMESPACE, name, HEALTH, "forefill_sidecar_stream_connected") == 1.0)


@pytest.mark.parametrize("audience", ["", "elsewhere.example"])
def test_a_token_of_another_audience_is_refused_401(shop: Cluster, audience: str) -> None:
    more = [f"--audience={audience}"] if audience else []
    token = shop.kubectl("create", "token", "default", "-n", NAMESPACE, *more).stdout.strip()
    ask = (
        "import socket, ssl, sys\n"
        "context = ssl._create_unverified_context()\n"
        f"raw = socket.create_connection(('forefill-operator.{SYSTEM}.svc', 8443), 10)\n"
        f"with context.wrap_socket(raw, server_hostname='forefill-operator.{SYSTEM}.svc') as stream:\n"
        "    head = 'GET /v1/stream HTTP/1.1|Host: x|Connection: Upgrade|Upgrade: websocket'\n"
        "    head += '|Sec-WebSocket-Version: 13|Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='\n"
        "    head += '|Authorization: Bearer ' + sys.argv[1] + '||'\n"
        "    stream.sendall(head.replace('|', '\\r\\n').encode())\n"
        "    print(stream.recv(4096).decode())\n"
    )
    pod = app_pods(shop)[0]
    answer = shop.kubectl("exec", "-n", NAMESPACE, pod, "-c", "app", "--", "python", "-c", ask, token).stdout
    assert answer.startswith("HTTP/1.1 401 Unauthorized")
    assert token not in shop.kubectl("logs", "-n", SYSTEM, operator_pod(shop)).stdout


def test_deleting_the_policy_frees_the_pods(shop: Cluster) -> None:
    pod = app_pods(shop)[0]
    shop.kubectl("delete", "tokenpolicy", "-n", NAMESPACE, "llm")
    state = f'forefill_sidecar_lease_state{{policy="{NAMESPACE}/llm",state="abandoned"}}'
    shop.until(lambda: shop.metric(NAMESPACE, pod, HEALTH, state) == 1.0)
    shop.until(lambda: outcomes(shop)[-10:] == ["200"] * 10)


def test_uninstalling_leaves_the_resource_its_objects_and_the_authority_and_the_pods_serve_on(shop: Cluster) -> None:
    shop.apply(workload.policy("kept", NAMESPACE))
    shop.helm("uninstall", "forefill", "-n", SYSTEM, "--wait")
    kinds = "deployments,services,serviceaccounts,roles,rolebindings,leases,poddisruptionbudgets,configmaps,pods"
    ours = "app.kubernetes.io/name=forefill"
    shop.until(lambda: shop.get(kinds, "-n", SYSTEM, "-l", ours)["items"] == [], what="the pods have ended")
    wide = "clusterroles,clusterrolebindings,mutatingwebhookconfigurations"
    assert shop.get(wide, "-l", ours)["items"] == []
    secrets = {
        s["metadata"]["name"] for s in shop.get("secrets", "-n", SYSTEM)["items"] if s["type"] != "helm.sh/release.v1"
    }
    assert secrets == {"forefill-ca", "forefill-tickets"}
    assert shop.get("tokenpolicies", "-n", NAMESPACE)["items"][0]["metadata"]["name"] == "kept"
    shop.until(lambda: outcomes(shop)[-10:] == ["200"] * 10)
