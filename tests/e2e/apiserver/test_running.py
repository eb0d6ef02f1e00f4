"""Operator and injector as real processes, each with its own service account's rights and no more."""

import base64
import datetime
import json
import re
import signal
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from forefill_operator.client import Client
from forefill_operator.identity import Rejected
from forefill_operator.kube import certificates, credentials
from forefill_operator.kube.api import Api
from forefill_operator.kube.token_review import TokenReviews
from forefill_protocol import podsettings

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SYSTEM, RELEASE, SHOP = "forefill-apiserver", "forefill", "forefill-apiserver-shop"
EAGER, EAGER_LABELS = "forefill-apiserver-eager", {"forefill.io/inject": "enabled"}
CLUSTER_NAME = f"{SYSTEM}-{RELEASE}"
POLICY: Any = {
    "apiVersion": "forefill.io/v1alpha1",
    "kind": "TokenPolicy",
    "metadata": {"name": "llm", "namespace": SHOP},
    "spec": {
        "upstream": {"url": "http://llm:8000"},
        "inject": {"env": [{"name": "OPENAI_BASE_URL", "path": "/v1"}]},
        "fillRate": {"base": 50, "min": 20, "max": 400},
    },
}
ApiServer = Any


@dataclass
class Running:
    """The API server with both processes beside it."""

    server: ApiServer
    operator_health: int
    injector: str

    def create(self, *words: str, **pod: Any) -> Any:
        return self.server.create(pod_of(**pod), *words)


def pod_of(name: str = "web", annotations: dict[str, str] | None = None, **spec: Any) -> Any:
    asked = {"forefill.io/inject": "true"} if annotations is None else annotations
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": SHOP, "annotations": asked},
        "spec": {"serviceAccountName": "web", "containers": [restricted()], **spec},
    }


def restricted() -> Any:
    """A container that restricted Pod Security admits."""
    context = {
        "allowPrivilegeEscalation": False,
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {"name": "app", "image": "app:1", "securityContext": context}


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def mounted(server: ApiServer) -> Path:
    """The injector's Secret as the kubelet would mount it, but for 127.0.0.1: no Service leads here without a node."""
    data = server.get("secret", "forefill-ca", "-n", SYSTEM)["data"]
    authority = certificates.Pair(base64.b64decode(data["tls.crt"]), base64.b64decode(data["tls.key"]))
    pair = certificates.issue(authority, ["127.0.0.1"], datetime.datetime.now(datetime.UTC))
    folder: Path = server.folder / "pair"
    folder.mkdir(exist_ok=True)
    for name, content in (("tls.crt", pair.certificate), ("tls.key", pair.key), ("ca.crt", authority.certificate)):
        (folder / name).write_bytes(content)
    return folder


def ports(count: int) -> list[int]:
    import socket

    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return found


@pytest.fixture(scope="module")
def running(installed: ApiServer) -> Iterator[Running]:
    with beside(installed) as both:
        yield both


@contextmanager
def beside(installed: ApiServer) -> Iterator[Running]:
    """Operator and injector run until the block ends."""
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": SHOP, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "web", "namespace": SHOP}}
    eager = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": EAGER, "labels": EAGER_LABELS}}
    policy = {**POLICY, "metadata": {"name": "llm", "namespace": EAGER}}
    installed.apply(namespace, eager, account, POLICY, policy)
    # No injector answers yet.
    assert installed.create(pod_of(name="early")).returncode == 0
    stream, operator_health, listen, health = ports(4)
    operator = [
        "operator", "--kubernetes", f"--stream=127.0.0.1:{stream}", f"--health=127.0.0.1:{operator_health}",
        *arguments(installed, "operator")[3:],
    ]  # fmt: skip
    with installed.running(installed.account(SYSTEM, "forefill-operator"), *operator):
        installed.until(lambda: answers(f"http://127.0.0.1:{operator_health}/readyz"), "the operator is ready")
        injector = [
            "injector", f"--listen=127.0.0.1:{listen}", f"--health=127.0.0.1:{health}",
            f"--certificates={mounted(installed)}", *arguments(installed, "injector")[3:],
        ]  # fmt: skip
        with installed.running(installed.account(SYSTEM, "forefill-injector"), *injector):
            lead_webhook_to(installed, f"https://127.0.0.1:{listen}")
            installed.until(lambda: answers(f"http://127.0.0.1:{health}/readyz"), "the injector is ready")
            installed.until(lambda: is_injected(installed), "the API server calls the webhook")
            yield Running(installed, operator_health, f"http://127.0.0.1:{health}")


def arguments(server: ApiServer, component: str) -> list[str]:
    """What the chart starts the container with."""
    deployment = server.get("deployment", f"forefill-{component}", "-n", SYSTEM)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["forefill", component]
    words: list[str] = container["args"]
    return words


PATHS = ("/inject", "/inject-by-default")


def lead_webhook_to(server: ApiServer, url: str) -> None:
    path = ["mutatingwebhookconfiguration", CLUSTER_NAME]
    bundle = server.get(*path)["webhooks"][0]["clientConfig"]["caBundle"]
    change = [
        {"op": "replace", "path": f"/webhooks/{index}/clientConfig", "value": {"url": url + end, "caBundle": bundle}}
        for index, end in enumerate(PATHS)
    ]
    server.kubectl("patch", *path, "--type=json", "-p", json.dumps(change))


def is_injected(server: ApiServer) -> bool:
    return "forefill.io/injected" in server.create(pod_of(), "--dry-run=server").stdout


def test_a_pod_that_asks_is_injected_under_restricted_pod_security(running: Running) -> None:
    created = running.create(name="asking")
    assert created.returncode == 0, created.stderr
    pod = json.loads(created.stdout)
    (sidecar,) = pod["spec"]["initContainers"]
    assert (sidecar["name"], sidecar["restartPolicy"]) == ("forefill", "Always")
    assert pod["spec"]["containers"][0]["env"] == [{"name": "OPENAI_BASE_URL", "value": "http://127.0.0.1:17001/v1"}]
    settings = podsettings.decode(sidecar["env"][0]["value"])
    assert settings.operator == f"wss://forefill-operator.{SYSTEM}.svc:8443/v1/stream"
    data = running.server.get("secret", "forefill-ca", "-n", SYSTEM)["data"]
    assert settings.ca_bundle.encode() == base64.b64decode(data["tls.crt"])


def test_a_pod_that_does_not_ask_is_not_even_sent(running: Running) -> None:
    before = admissions(running)
    for annotations in ({}, {"forefill.io/inject": "false"}, {"other": "true"}):
        created = running.create("--dry-run=server", annotations=annotations)
        assert "forefill" not in json.dumps(json.loads(created.stdout)["spec"])
    assert admissions(running) == before


def admissions(running: Running) -> float:
    with urllib.request.urlopen(f"{running.injector}/metrics", timeout=5) as response:
        page = response.read().decode()
    return sum(float(value) for value in re.findall(r"^forefill_injector_admissions_total.* (.*)$", page, re.MULTILINE))


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        (
            {"annotations": {"forefill.io/inject": "true", "forefill.io/policy": "nobody"}},
            f"no TokenPolicy {SHOP}/nobody",
        ),
        ({"os": {"name": "windows"}, "containers": [{"name": "app", "image": "app:1"}]}, "is for Windows"),
    ],
)
def test_a_pod_that_can_not_be_injected_starts_and_the_user_is_warned(pod: Any, words: str, running: Running) -> None:
    created = running.create("--dry-run=server", name="refused", **pod)
    assert "the pod gets no sidecar" in created.stderr
    assert words in created.stderr


def test_a_pod_is_created_though_no_injector_answers(running: Running) -> None:
    path = ["mutatingwebhookconfiguration", CLUSTER_NAME]
    before = running.server.get(*path)["webhooks"][0]["clientConfig"]["url"].removesuffix("/inject")
    lead_webhook_to(running.server, "https://127.0.0.1:1")
    try:
        running.server.until(
            lambda: "forefill.io/injected" not in running.create("--dry-run=server").stdout, "the webhook leads nowhere"
        )
        created = running.create("--dry-run=server")
        assert created.returncode == 0
    finally:
        lead_webhook_to(running.server, before)


def accepted(running: Running, name: str) -> Any:
    """Status, generation and message of the condition Accepted."""
    status = running.server.get("tokenpolicy", name, "-n", SHOP).get("status", {})
    found = [one for one in status.get("conditions", []) if one["type"] == "Accepted"]
    return [(one["status"], one["observedGeneration"], one["message"]) for one in found]


def test_the_operator_accepts_a_policy_and_each_change_of_it(running: Running) -> None:
    running.server.until(lambda: accepted(running, "llm")[:1] != [], "the policy has a status")
    assert accepted(running, "llm")[0][:2] == ("True", 1)
    change = ("patch", "tokenpolicy", "llm", "-n", SHOP, "--type=merge", "-p", '{"spec": {"fillRate": {"max": 500}}}')
    running.server.kubectl(*change)
    running.server.until(lambda: accepted(running, "llm")[0][1] == 2, "the change is seen", seconds=10.0)


def test_what_the_api_server_can_not_see_becomes_a_condition(running: Running) -> None:
    nothing = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    spec = {**POLICY["spec"], "upstream": {"url": "https://llm", "caBundle": nothing}}
    running.server.apply({**POLICY, "metadata": {"name": "blind", "namespace": SHOP}, "spec": spec})
    running.server.until(lambda: accepted(running, "blind") != [], "the policy has a status")
    ((status, generation, message),) = accepted(running, "blind")
    assert (status, generation) == ("False", 1)
    assert message.startswith("spec.upstream.caBundle: ")
    (event,) = events(running, "InvalidSpec")
    assert (event["type"], event["note"], event["regarding"]["name"]) == ("Warning", message, "blind")
    running.server.kubectl("delete", "tokenpolicy", "blind", "-n", SHOP)


def events(running: Running, reason: str) -> Any:
    found = running.server.get("events.events.k8s.io", "-n", SHOP)["items"]
    return [event for event in found if event["reason"] == reason]


def test_a_policy_that_changes_back_and_forth_has_one_event_that_counts(running: Running) -> None:
    spec = POLICY["spec"]
    for mode, condition in 2 * (("Enforce", "NoClients"), ("Observe", "Observing")):
        body = {**POLICY, "metadata": {"name": "flips", "namespace": SHOP}, "spec": {**spec, "mode": mode}}
        running.server.apply(body)
        running.server.until(
            lambda expected=condition: enforced(running, "flips") == expected, f"Enforced: {condition}"
        )

    def counts() -> list[int]:
        found = [event for event in events(running, "Observing") if event["regarding"]["name"] == "flips"]
        return [event.get("series", {}).get("count", 1) for event in found]

    running.server.until(lambda: counts() == [2], "the one Event counts two")
    running.server.kubectl("delete", "tokenpolicy", "flips", "-n", SHOP)


def enforced(running: Running, name: str) -> str:
    status = running.server.get("tokenpolicy", name, "-n", SHOP).get("status", {})
    found = [one["reason"] for one in status.get("conditions", []) if one["type"] == "Enforced"]
    return str(found[0]) if found else ""


def test_a_pod_that_started_without_its_sidecar_is_named(running: Running) -> None:
    running.server.until(lambda: bool(events(running, "NotInjected")), "the Event is written")
    (event,) = [event for event in events(running, "NotInjected") if event["regarding"]["name"] == "early"]
    assert event["type"] == "Warning"
    assert "no injector answered when the pod was created" in event["note"]
    with urllib.request.urlopen(f"http://127.0.0.1:{running.operator_health}/metrics", timeout=5) as response:
        page = response.read().decode()
    assert re.findall(r"^forefill_operator_pods_without_sidecar (.*)$", page, re.MULTILINE) == ["1.0"]


def test_a_namespace_may_want_sidecars_for_all_its_pods(running: Running) -> None:
    for annotations, gets_one in (({}, True), ({"forefill.io/inject": "false"}, False)):
        pod = pod_of(annotations=annotations)
        pod["metadata"]["namespace"] = EAGER
        spec = {"serviceAccountName": "default", "containers": [restricted()]}
        created = running.server.create({**pod, "spec": spec}, "--dry-run=server")
        assert created.returncode == 0, created.stderr
        assert ("initContainers" in json.loads(created.stdout)["spec"]) is gets_one


def test_a_dry_run_gets_the_same_pod_and_leaves_nothing(running: Running) -> None:
    specs = []
    for words in (["--dry-run=server"], []):
        created = running.create(*words, name="twice")
        assert created.returncode == 0, created.stderr
        specs.append(json.loads(created.stdout)["spec"])
    assert specs[0]["initContainers"] == specs[1]["initContainers"]
    running.server.kubectl("delete", "pod", "twice", "-n", SHOP, "--force")


@pytest.fixture
async def reviews(running: Running) -> Any:
    found = credentials.from_kubeconfig(running.server.account(SYSTEM, "forefill-operator"))
    async with Api(found) as api:
        yield TokenReviews(api)


@pytest.fixture
def bound(running: Running) -> Any:
    """A pod of its own and how to have a token that is bound to it."""
    created = running.create(name="bound")
    assert created.returncode == 0, created.stderr
    uid = json.loads(created.stdout)["metadata"]["uid"]
    words = ["--bound-object-kind=Pod", "--bound-object-name=bound", f"--bound-object-uid={uid}"]
    yield uid, words
    running.server.kubectl("delete", "pod", "bound", "-n", SHOP, "--force", "--ignore-not-found")


async def test_a_pods_own_token_tells_which_pod_it_is(reviews: TokenReviews, bound: Any, running: Running) -> None:
    uid, words = bound
    token = running.server.token(SHOP, "web", "--audience=forefill.io", *words)
    labels = {"forefill.io/injected": "true"}
    assert await reviews.authenticate(token) == Client(SHOP, "web", "bound", uid, labels)


async def rejected(reviews: TokenReviews, token: str) -> tuple[int, str]:
    with pytest.raises(Rejected) as caught:
        await reviews.authenticate(token)
    return caught.value.code, caught.value.sentence


async def test_tokens_that_prove_no_pod_are_rejected(reviews: TokenReviews, bound: Any, running: Running) -> None:
    _, words = bound
    other_audience = running.server.token(SHOP, "web", "--audience=vault", *words)
    api_token = running.server.token(SHOP, "web", *words)
    unbound = running.server.token(SHOP, "web", "--audience=forefill.io")
    good = running.server.token(SHOP, "web", "--audience=forefill.io", *words)
    head, claims, signature = good.split(".")
    forged = f"{head}.{claims}.{signature[:-8]}{'A' * 8}"
    unknown = (401, "the API server does not know the token")
    assert await rejected(reviews, other_audience) == unknown
    assert await rejected(reviews, api_token) == unknown
    assert await rejected(reviews, forged) == unknown
    assert await rejected(reviews, "nonsense") == unknown
    assert await rejected(reviews, unbound) == (403, "the token is not bound to a pod")


async def test_the_token_of_a_deleted_pod_is_rejected(reviews: TokenReviews, bound: Any, running: Running) -> None:
    _, words = bound
    token = running.server.token(SHOP, "web", "--audience=forefill.io", *words)
    running.server.kubectl("delete", "pod", "bound", "-n", SHOP, "--force")
    assert (await rejected(reviews, token))[0] == 401


def test_an_api_server_that_hangs_for_a_while_ends_neither_process(running: Running) -> None:
    """For less than half of the time in which the Lease must be renewed; afterwards changes are seen as before."""
    (process,) = [each for each in running.server.processes if str(each.args[0]).endswith("kube-apiserver")]
    process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(3.0)
        assert answers(f"http://127.0.0.1:{running.operator_health}/healthz")
        assert answers(f"http://127.0.0.1:{running.operator_health}/readyz")
        assert answers(f"{running.injector}/readyz")
    finally:
        process.send_signal(signal.SIGCONT)
    generation = running.server.get("tokenpolicy", "llm", "-n", SHOP)["metadata"]["generation"]
    change = ("patch", "tokenpolicy", "llm", "-n", SHOP, "--type=merge", "-p", '{"spec": {"fillRate": {"min": 21}}}')
    running.server.kubectl(*change)
    running.server.until(lambda: accepted(running, "llm")[0][1] == generation + 1, "the change is seen")


def test_every_right_of_the_chart_is_used_and_none_is_missing(running: Running) -> None:
    """Audited over all that the tests above did, and what each process did by itself."""
    for component in ("operator", "injector"):
        granted = rights(running.server, component)
        used, refused = calls(running.server, f"system:serviceaccount:{SYSTEM}:forefill-{component}")
        assert refused == []
        assert used == granted


Right = tuple[str, str]


def rights(server: ApiServer, component: str) -> set[Right]:
    cluster = server.get("clusterrole", f"{CLUSTER_NAME}-{component}")["rules"]
    roles = server.get("role", "-n", SYSTEM, "-l", f"app.kubernetes.io/component={component}")["items"]
    rules = [*cluster, *(rule for role in roles for rule in role["rules"])]
    return {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}


def calls(server: ApiServer, user: str) -> tuple[set[Right], list[str]]:
    """What `user` did and was let do, and the URIs that it was forbidden."""
    used, refused = set(), []
    for line in server.audit.read_text().splitlines():
        event = json.loads(line)
        # Requests that were not let in have a user without a name.
        if event["user"].get("username") != user:
            continue
        target = event.get("objectRef") or {}
        if event.get("responseStatus", {}).get("code") == 403:
            refused.append(event["requestURI"])
        elif "resource" in target:
            name = "/".join(part for part in (target["resource"], target.get("subresource", "")) if part)
            used.add((name, event["verb"]))
    return used, refused


def test_uninstalling_leaves_the_resource_its_objects_the_authority_and_the_keys_of_tickets(
    api_server: ApiServer, running: Running
) -> None:
    """Last, for it takes away what the tests above use."""
    running.server.helm("uninstall", RELEASE, "-n", SYSTEM)
    kinds = (
        "all,secrets,leases,roles,rolebindings,serviceaccounts,poddisruptionbudgets,clusterroles,clusterrolebindings,"
        "mutatingwebhookconfigurations,customresourcedefinitions"
    )
    left = api_server.kubectl("get", kinds, "-A", "-l", "app.kubernetes.io/part-of=forefill", "-o", "name").stdout
    assert left.split() == ["secret/forefill-ca", "secret/forefill-tickets"]
    in_namespace = api_server.kubectl("get", "all,secrets,leases", "-n", SYSTEM, "-o", "name").stdout
    assert in_namespace.split() == ["secret/forefill-ca", "secret/forefill-tickets"]
    assert api_server.get("tokenpolicy", "llm", "-n", SHOP)["spec"]["fillRate"]["max"] == 500
