"""What of the chart can be judged without helm: its README, its schema, its dashboard and its alerts."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from forefill_lab.chart import readme
from forefill_operator import schema
from forefill_operator.controller import Controller
from forefill_operator.door_metrics import DoorMetrics
from forefill_operator.kube import listeners
from forefill_operator.kube.injector_metrics import InjectorMetrics
from forefill_operator.kube.listeners import Candidate
from forefill_operator.load.assembly import watch_of
from forefill_operator.load.sources import Sources
from forefill_operator.metrics import Metrics
from forefill_operator.policy import parse_policy
from forefill_sidecar import metrics
from forefill_sidecar.joined import JoinedSidecar
from forefill_sidecar.reporter import Operator

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "forefill"
RUNBOOKS = ROOT / "docs" / "runbooks"
METRIC = re.compile(r"\bforefill_[a-z_]+")
DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())
ALERTS = [
    rule for group in yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]


def exported(tmp_path: Path) -> set[str]:
    """Every series that operator, injector and sidecar export, as their own pages name them."""
    valid = yaml.safe_load((ROOT / "tests" / "manifests" / "invalid_policies.yaml").read_text())["valid"]
    (listener,) = listeners.make([Candidate(parse_policy(schema.complete(valid)))], set())
    joined = JoinedSidecar([listener], Operator("wss://localhost:1/v1/stream", "", tmp_path / "token"), [])
    families = [
        *metrics.collect(joined.sidecar.listeners, joined.sidecar.lag),
        *joined.figures.families(joined.reporter, joined.agent),
    ]
    operator = Metrics()
    DoorMetrics(operator.registry)
    watch_of(Controller(), Sources(), operator.registry)
    pages = b"\n".join((operator.text(), InjectorMetrics().text(), metrics.render(families, False))).decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", pages, re.MULTILINE))
    histograms = {
        f"{name}{end}" for name, kind in kinds.items() if kind == "histogram" for end in ("_bucket", "_sum", "_count")
    }
    return {*kinds, *histograms}


def expressions() -> list[str]:
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    variables = [each["query"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
    return [*panels, *variables, *(alert["expr"] for alert in ALERTS)]


def test_dashboard_and_alerts_ask_only_for_what_is_exported(tmp_path: Path) -> None:
    asked = {name for text in expressions() for name in METRIC.findall(text)}
    assert asked - exported(tmp_path) == set()


def test_panels_have_their_own_ids_and_places() -> None:
    panels = DASHBOARD["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert (
        len({panel["id"] for panel in panels})
        == len(places)
        == len({panel["title"] for panel in panels})
        == len(panels)
    )
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


@pytest.mark.parametrize("alert", ALERTS, ids=[alert["alert"] for alert in ALERTS])
def test_every_alert_leads_to_its_page(alert: Any) -> None:
    base, _, page = alert["annotations"]["runbook_url"].partition("/")
    assert base == "RUNBOOKS"
    assert (RUNBOOKS / page).is_file()
    assert f"| {alert['alert']} | [{page.removesuffix('.md')}]({page}) |" in (RUNBOOKS / "README.md").read_text()
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert {"summary", "description"} <= alert["annotations"].keys()


def test_no_page_is_without_its_alert() -> None:
    pages = {page.name for page in RUNBOOKS.glob("*.md")} - {"README.md"}
    assert pages == {alert["annotations"]["runbook_url"].rpartition("/")[2] for alert in ALERTS}


def test_the_charts_readme_is_made_of_its_values() -> None:
    text = (CHART / "README.md").read_text()
    assert readme.render(text, (CHART / "values.yaml").read_text()) == text


def test_every_value_has_its_meaning() -> None:
    values = list(readme.documented((CHART / "values.yaml").read_text()))
    assert [value.path for value in values if not value.meaning] == []
    assert {value.path for value in values} >= {"image.operator.repository", "webhook.failurePolicy", "loadSources"}


SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def resolved(described: Any) -> Any:
    return SCHEMA["$defs"][described["$ref"].rpartition("/")[2]] if "$ref" in described else described


def faults(value: Any, described: Any, path: str) -> list[str]:
    """Values that the schema does not name, and names of the schema that have no value."""
    described = resolved(described)
    if "properties" not in described or not isinstance(value, dict) or not value:
        return []
    known = described["properties"]
    found = [f"{path}.{name}" for name in set(value) ^ set(known) if path not in LOOSE]
    return found + [
        fault for name in value if name in known for fault in faults(value[name], known[name], f"{path}.{name}")
    ]


# Kubernetes' own shapes, of which the values give an example.
LOOSE = {".operator.resources", ".injector.resources", ".sidecar.resources"}


def test_schema_and_values_name_the_same_settings() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert faults({**values, "global": {}}, SCHEMA, "") == []
