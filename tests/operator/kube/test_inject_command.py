import io
from pathlib import Path
from typing import Any

import pytest
import yaml

from forefill_operator.kube import inject_command
from forefill_protocol import podsettings

POLICY = """
apiVersion: forefill.io/v1alpha1
kind: TokenPolicy
metadata: {name: llm, namespace: shop}
spec:
  upstream: {url: "http://llm:8000"}
  inject: {env: [{name: OPENAI_BASE_URL, path: /v1}]}
  fillRate: {base: 50, min: 20, max: 400}
"""


def workload(kind: str, annotations: dict[str, str] | None = None, **spec: Any) -> Any:
    asked = {"forefill.io/inject": "true"} if annotations is None else annotations
    pod = {"metadata": {"annotations": asked}, "spec": {"containers": [{"name": "app", "image": "app:1"}], **spec}}
    metadata = {"name": "web", "namespace": "shop"}
    if kind == "Pod":
        return {"apiVersion": "v1", "kind": kind, "metadata": {**metadata, **pod["metadata"]}, "spec": pod["spec"]}
    body = {"jobTemplate": {"spec": {"template": pod}}} if kind == "CronJob" else {"template": pod}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": body}


def pod_of(manifest: Any) -> Any:
    if manifest["kind"] == "Pod":
        return manifest
    spec = manifest["spec"]
    return (spec["jobTemplate"]["spec"] if manifest["kind"] == "CronJob" else spec)["template"]


@pytest.fixture
def files(tmp_path: Path) -> Any:
    """Writes manifests and the policy, and gives the command's words."""

    def write(*manifests: Any) -> list[str]:
        (tmp_path / "policy.yaml").write_text(POLICY)
        (tmp_path / "web.yaml").write_text(yaml.safe_dump_all(manifests))
        return ["-f", str(tmp_path / "web.yaml"), "--policy-file", str(tmp_path / "policy.yaml")]

    return write


Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize("kind", list(inject_command.TEMPLATES))
def test_every_kind_of_workload_is_injected(kind: str, files: Any, capsys: Captured) -> None:
    assert inject_command.main(files(workload(kind))) == 0
    (printed,) = yaml.safe_load_all(capsys.readouterr().out)
    pod = pod_of(printed)
    assert pod["spec"]["initContainers"][0]["name"] == "forefill"
    assert pod["spec"]["containers"][0]["env"] == [{"name": "OPENAI_BASE_URL", "value": "http://127.0.0.1:17001/v1"}]
    assert pod["metadata"]["labels"] == {"forefill.io/injected": "true"}
    assert printed["metadata"]["name"] == "web"


def test_what_was_injected_once_is_printed_as_it_is(files: Any, capsys: Captured, tmp_path: Path) -> None:
    words = files(workload("Deployment"))
    inject_command.main(words)
    once = capsys.readouterr().out
    (tmp_path / "web.yaml").write_text(once)
    assert inject_command.main(words) == 0
    assert capsys.readouterr().out == once


def test_documents_and_lists_keep_their_order_and_all_else_stays(files: Any, capsys: Captured) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"b": "1", "a": "2"}}
    whole = {"apiVersion": "v1", "kind": "List", "items": [workload("Job"), config]}
    assert inject_command.main(files(config, whole, workload("Pod", {}))) == 0
    first, second, third = yaml.safe_load_all(capsys.readouterr().out)
    assert first == config
    assert second["items"][0]["spec"]["template"]["spec"]["initContainers"]
    assert second["items"][1] == config
    assert third == workload("Pod", {})


def test_all_means_pods_that_do_not_say(files: Any, capsys: Captured) -> None:
    refusing = workload("Pod", {"forefill.io/inject": "false"})
    assert inject_command.main([*files(workload("Pod", {}), refusing), "--all"]) == 0
    first, second = yaml.safe_load_all(capsys.readouterr().out)
    assert "initContainers" in first["spec"]
    assert second == refusing


def test_a_pod_that_can_not_be_injected_is_printed_as_it_came_with_the_reason(files: Any, capsys: Captured) -> None:
    assert inject_command.main(files(workload("Deployment", hostNetwork=True))) == 1
    printed = capsys.readouterr()
    assert yaml.safe_load(printed.out) == workload("Deployment", hostNetwork=True)
    assert printed.err.startswith("forefill inject: Deployment web gets no sidecar: the pod uses hostNetwork")


def test_the_operator_and_its_authority_reach_the_sidecar(files: Any, capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("PEM")
    more = ["--operator", "wss://operator:8443/v1/stream", "--ca-file", str(tmp_path / "ca.crt"), "--image", "mine:1"]
    assert inject_command.main([*files(workload("Pod")), *more]) == 0
    (container,) = yaml.safe_load(capsys.readouterr().out)["spec"]["initContainers"]
    settings = podsettings.decode(container["env"][0]["value"])
    assert (container["image"], settings.operator, settings.ca_bundle) == ("mine:1", more[1], "PEM")


def test_stdin_is_read(files: Any, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    words = files()
    monkeypatch.setattr("sys.stdin", io.StringIO(yaml.safe_dump(workload("Pod"))))
    assert inject_command.main(["-f", "-", *words[2:]]) == 0
    assert "initContainers" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "can't be read"),
        ("- 1", "document 1: a mapping is expected, not list"),
        ("kind: Deployment\nmetadata: {name: x}", "Deployment x: spec.template.spec.containers must be a list"),
        ("kind: Pod\nmetadata: {name: x}\nspec: {containers: [1]}", "Pod x: spec.containers must be a list"),
    ],
)
def test_what_can_not_be_read_is_named_in_a_sentence(
    text: str, words: str, files: Any, capsys: Captured, tmp_path: Path
) -> None:
    arguments = files()
    (tmp_path / "web.yaml").write_text(text)
    assert inject_command.main(arguments) == 2
    printed = capsys.readouterr()
    assert (printed.out, words in printed.err, printed.err.count("\n")) == ("", True, 1)


def test_flags_that_do_not_fit_are_named(files: Any, capsys: Captured, tmp_path: Path) -> None:
    assert inject_command.main([*files(), "--operator", "wss://x"]) == 2
    assert "--operator and --ca-file go together" in capsys.readouterr().err
    assert inject_command.main(["-f", str(tmp_path / "none.yaml"), *files()[2:]]) == 2
    assert "none.yaml: can't be read" in capsys.readouterr().err
