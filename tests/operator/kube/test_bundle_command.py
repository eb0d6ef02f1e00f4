import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from forefill_operator.kube.api import Api
from forefill_operator.kube.bundle_command import Bundle, main, write

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl"
SYSTEM = "/api/v1/namespaces/forefill-system"
SECRET = "hunter2-the-secret"


def listing(*items: Any) -> Any:
    return (200, {"metadata": {}, "items": list(items)})


def pod(namespace: str, name: str, component: str = "") -> Any:
    labels = {"app.kubernetes.io/component": component} if component else {}
    return {"metadata": {"namespace": namespace, "name": name, "labels": labels}, "spec": {"password": SECRET}}


@pytest.fixture
def server(api_server: Any, manifest: Any) -> Any:
    """An installation with secrets in every place that people put them."""
    sources = {"metadata": {"name": "load-sources"}, "data": {"sources.yaml": f"url: https://a:{SECRET}@prometheus"}}
    api_server.answers |= {
        "GET /version": (200, {"gitVersion": "v1.36.4"}),
        "GET /apis/forefill.io/v1alpha1/tokenpolicies": listing(manifest()),
        "GET /apis/events.k8s.io/v1/events": listing({"note": f"token {JWT}"}),
        "GET /apis/apps/v1/namespaces/forefill-system/deployments": listing(),
        f"GET {SYSTEM}/services": listing(),
        f"GET {SYSTEM}/configmaps": listing(sources),
        "GET /apis/coordination.k8s.io/v1/namespaces/forefill-system/leases": listing(),
        "GET /apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations": listing(),
        f"GET {SYSTEM}/pods": listing(pod("forefill-system", "operator-0", "operator")),
        f"GET {SYSTEM}/pods/operator-0:8080/proxy/metrics": (200, b"forefill_operator_streams 3.0\n"),
        f"GET {SYSTEM}/pods/operator-0:8080/proxy/readyz": (200, b"ok\n"),
        f"GET {SYSTEM}/pods/operator-0/log": (200, f"Authorization: Bearer {JWT}\npassword={SECRET}\n".encode()),
        "GET /api/v1/pods": listing(),
    }
    return api_server


async def test_everything_that_helps_is_there_and_nothing_secret(server: Any, api: Api) -> None:
    bundle = Bundle(api, "forefill-system", 100)
    await bundle.collect()
    assert bundle.errors == []
    assert set(bundle.files) == {
        "versions.yaml", "policies.yaml", "events.yaml", "deployments.yaml", "services.yaml", "configmaps.yaml",
        "lease.yaml", "webhooks.yaml", "pods.yaml", "sidecars.yaml", "errors.txt",
        "pods/forefill-system.operator-0/metrics.txt", "pods/forefill-system.operator-0/readyz.txt",
        "pods/forefill-system.operator-0/log.txt",
    }  # fmt: skip
    everything = json.dumps(bundle.files)
    assert SECRET not in everything
    assert JWT not in everything
    assert bundle.files["pods/forefill-system.operator-0/metrics.txt"] == "forefill_operator_streams 3.0\n"
    assert "name: llm" in bundle.files["policies.yaml"]


async def test_no_secret_is_asked_for(server: Any, api: Api) -> None:
    await Bundle(api, "forefill-system", 100).collect()
    assert [call for call, _ in server.requests if "secrets" in call] == []
    assert {call.partition(" ")[0] for call, _ in server.requests} == {"GET"}


async def test_what_can_not_be_read_is_named_and_the_rest_is_there(server: Any, api: Api) -> None:
    server.answers["GET /apis/events.k8s.io/v1/events"] = (403, {"reason": "Forbidden", "message": "not you"})
    del server.answers[f"GET {SYSTEM}/pods/operator-0/log"]
    bundle = Bundle(api, "forefill-system", 100)
    await bundle.collect()
    assert [error.partition(":")[0] for error in bundle.errors] == [
        "events.yaml",
        "pods/forefill-system.operator-0/log.txt",
    ]
    assert bundle.files["errors.txt"].startswith("events.yaml: 403 Forbidden: not you\n")
    assert "policies.yaml" in bundle.files


def test_the_archive_is_its_owners_alone_and_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "bundle.tar.gz"
    write(path, {"a/b.txt": "text"})
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as archive:
        (member,) = archive.getmembers()
        assert member.name == "forefill-bundle/a/b.txt"
        content = archive.extractfile(member)
        assert content is not None
        assert content.read() == b"text"
    with pytest.raises(FileExistsError):
        write(path, {})


def test_a_cluster_that_can_not_be_found_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert main(["--out", str(tmp_path / "bundle.tar.gz")]) == 2
    assert capsys.readouterr().err.startswith(f"forefill bundle: {tmp_path}/none: can't be used")
