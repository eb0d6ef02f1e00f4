from typing import Any

import msgspec

from forefill_operator.figures import Figures
from forefill_operator.metrics import FIGURES, Metrics
from forefill_protocol import messages

# `anomalies` is a metric with a label of its own.
NUMBERS = [field.name for field in msgspec.structs.fields(Figures) if field.name != "anomalies"]
FIELDS = {name: float(number) for number, name in enumerate(NUMBERS, start=1)}


def figures(**changes: Any) -> Figures:
    values: dict[str, Any] = FIELDS | changes
    return Figures(**values)


def test_every_figure_of_a_policy_is_a_metric_and_every_such_metric_a_figure() -> None:
    assert FIGURES.keys() == FIELDS.keys()


def test_each_figure_is_exposed_under_its_own_name() -> None:
    metrics = Metrics()
    metrics.figures({"ai/llm": figures()})
    exposed = {
        name: metrics.registry.get_sample_value(f"forefill_policy_{name}", {"policy": "ai/llm"}) for name in FIELDS
    }
    assert exposed == FIELDS


def test_a_policy_that_is_gone_loses_its_series() -> None:
    metrics = Metrics()
    metrics.figures({"ai/llm": figures(), "ai/old": figures()})
    metrics.figures({"ai/llm": figures(max=9.0)})
    assert metrics.registry.get_sample_value("forefill_policy_max", {"policy": "ai/llm"}) == 9.0
    assert b"ai/old" not in metrics.text()


def test_findings_are_counted_by_policy_and_kind() -> None:
    metrics = Metrics()
    metrics.figures({"ai/llm": figures(anomalies={"Untrue": 2, "Jump": 1}), "ai/calm": figures()})
    value = metrics.registry.get_sample_value
    assert value("forefill_policy_anomalies", {"policy": "ai/llm", "kind": "Untrue"}) == 2.0
    metrics.figures({"ai/llm": figures(anomalies={"Jump": 1})})
    assert value("forefill_policy_anomalies", {"policy": "ai/llm", "kind": "Untrue"}) is None


def test_what_comes_in_is_counted_by_kind() -> None:
    metrics = Metrics()
    metrics.message(messages.Goodbye())
    metrics.message(messages.Renew(token="secret"))
    metrics.message(messages.Renew(token="secret"))
    metrics.upgrade_rejected(401)
    metrics.frame_refused(400)
    metrics.entry_refused(410)
    metrics.streams(3)
    metrics.plan_took(0.003)
    metrics.policies_invalid(2)
    metrics.missed_pods(4)
    samples = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in metrics.text().decode().splitlines()
        if not line.startswith("#") and "_created" not in line
    }
    own = {name: value for name, value in samples.items() if name.startswith("forefill_operator")}
    assert {name: value for name, value in own.items() if "_bucket" not in name} == {
        'forefill_operator_messages_total{type="goodbye"}': 1.0,
        'forefill_operator_messages_total{type="renew"}': 2.0,
        'forefill_operator_upgrades_rejected_total{code="401"}': 1.0,
        'forefill_operator_frames_refused_total{code="400"}': 1.0,
        'forefill_operator_entries_refused_total{code="410"}': 1.0,
        "forefill_operator_streams": 3.0,
        "forefill_operator_policies_invalid": 2.0,
        "forefill_operator_pods_without_sidecar": 4.0,
        "forefill_operator_plan_seconds_count": 1.0,
        "forefill_operator_plan_seconds_sum": 0.003,
    }
    assert samples['forefill_operator_plan_seconds_bucket{le="0.002"}'] == 0.0
    assert samples['forefill_operator_plan_seconds_bucket{le="0.005"}'] == 1.0


def test_the_process_tells_its_version_memory_and_cpu() -> None:
    text = Metrics().text().decode()
    for name in ("forefill_build_info{version=", "process_resident_memory_bytes ", "process_cpu_seconds_total "):
        assert f"\n{name}" in text
