"""The TokenPolicy resource on a real API server: defaults, refusals, pruning, status, and what kubectl shows."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from forefill_operator import schema

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TABLE = yaml.safe_load((Path(__file__).parents[2] / "manifests" / "invalid_policies.yaml").read_text())
VALID = TABLE["valid"]
ApiServer = Any


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    kept = {**target} if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            kept.pop(name, None)
        else:
            kept[name] = merged(kept.get(name), value)
    return kept


@pytest.fixture
def policy(installed: ApiServer) -> Any:
    """The valid policy of the table, stored."""
    installed.kubectl("delete", "tokenpolicy", "llm", "-n", "default", "--ignore-not-found")
    created = installed.create(VALID)
    assert created.returncode == 0, created.stderr
    return json.loads(created.stdout)


def test_the_api_server_fills_the_defaults_that_files_get(policy: Any) -> None:
    assert policy["spec"] == schema.complete(VALID)["spec"]


@pytest.mark.parametrize("case", TABLE["cases"], ids=[case["name"] for case in TABLE["cases"]])
def test_an_invalid_policy_is_refused_with_a_sentence_that_names_the_field(case: Any, installed: ApiServer) -> None:
    body = merged(VALID, {"metadata": {"name": "invalid"}, "spec": case["patch"]})
    refused = installed.create(body, "--dry-run=server", "--validate=strict")
    assert refused.returncode != 0
    assert case["field"] in refused.stderr
    assert case["words"][0] in refused.stderr


def test_the_upstream_can_not_be_changed(policy: Any, installed: ApiServer) -> None:
    change = json.dumps({"spec": {"upstream": {"url": "http://collector:8000"}}})
    refused = installed.kubectl("patch", "tp", "llm", "-n", "default", "--type=merge", "-p", change, check=False)
    assert refused.returncode != 0
    assert "spec.upstream: Invalid value: upstream can't be changed, because pods send" in refused.stderr


def test_every_other_field_can_be_changed(policy: Any, installed: ApiServer) -> None:
    change = {name: value for name, value in TABLE["full"]["spec"].items() if name != "upstream"}
    installed.kubectl("patch", "tp", "llm", "-n", "default", "--type=merge", "-p", json.dumps({"spec": change}))
    stored = installed.get("tp", "llm", "-n", "default")
    assert stored["spec"] == {**change, "upstream": VALID["spec"]["upstream"]}
    assert stored["metadata"]["generation"] == 2


def test_unknown_fields_do_not_survive(installed: ApiServer) -> None:
    body = merged(VALID, {"metadata": {"name": "pruned"}, "spec": {"surplus": "Lend", "fillRate": {"ceiling": 1}}})
    created = installed.create(body, "--dry-run=server", "--validate=ignore")
    assert json.loads(created.stdout)["spec"] == schema.complete(VALID)["spec"]


def test_the_status_is_written_apart_from_the_spec(policy: Any, installed: ApiServer) -> None:
    status = {
        "observedGeneration": 1,
        "clients": 3,
        "targetFillRate": 120.5,
        "predictedTotal": 70.5,
        "load": 0.5,
        "weights": {"prediction": 1.1, "load": -100.0},
        "clamped": "None",
        "topClients": [{"pod": "shop/web-0", "fillRate": 60.25}],
        "bestModels": [{"workload": "shop/Deployment/web", "model": "Arima", "skill": 0.25}],
        "conditions": [
            {
                "type": kind,
                "status": "True",
                "reason": "Because",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
                "observedGeneration": 1,
            }
            for kind in ("Accepted", "Enforced", "LoadKnown")
        ],
    }
    change = json.dumps({"status": status, "spec": {"mode": "Enforce"}})
    installed.kubectl(
        "patch", "tp", "llm", "-n", "default", "--subresource=status", "--type=merge", "-p", change
    )  # fmt: skip
    stored = installed.get("tp", "llm", "-n", "default")
    assert stored["status"] == status
    assert (stored["spec"]["mode"], stored["metadata"]["generation"]) == ("Observe", 1)
    header, row = installed.kubectl("get", "tp", "llm", "-n", "default").stdout.splitlines()
    assert header.split() == ["NAME", "MODE", "TARGET", "CLIENTS", "ACCEPTED", "ENFORCED", "AGE"]
    assert row.split()[:6] == ["llm", "Observe", "120.5", "3", "True", "True"]


def test_kubectl_explains_every_field(installed: ApiServer) -> None:
    text = installed.kubectl("explain", "tokenpolicies", "--recursive").stdout
    for field in ("fillRate", "intervalSeconds", "podSelector", "topClients"):
        assert field in text
    told = installed.kubectl("explain", "tokenpolicy.spec.report.leaseSeconds").stdout
    assert "valid for this long after the last answer" in " ".join(told.split())
