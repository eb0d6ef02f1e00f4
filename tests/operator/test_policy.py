from collections.abc import Callable, Mapping
from typing import Any

import pytest

from forefill_operator.policy import InvalidPolicy, parse_policy

Make = Callable[[Mapping[str, Any]], dict[str, Any]]
ENV = "spec.inject.env"
EXPRESSIONS = "spec.clients.podSelector"
CLASSES = "spec.clients.classes"
CLASS = {"name": "batch", "weight": 1, "floor": 0}
LATENCY = "spec.thresholds.latencyP95Milliseconds"
USERS = "spec.forecast.userDimension"

FAULTS = [
    ("spec.fillRate.min", 500, "spec.fillRate.min", "is 500, but must not be above max, which is 400"),
    ("spec.fillRate.base", 401, "spec.fillRate.base", "is 401, but must not be above max, which is 400"),
    ("spec.fillRate.max", float("nan"), "spec.fillRate.max", "is nan, but must be a finite number"),
    ("spec.fillRate.max", float("inf"), "spec.fillRate.max", "is inf, but must be a finite number"),
    ("spec.fillRate.max", "much", "spec.fillRate.max", "expected `float`, got `str`"),
    ("spec.fillRate.min", 0, "spec.fillRate.min", "is 0, but must be above 0"),
    ("spec.burst.seconds", 0, "spec.burst.seconds", "is 0, but must be above 0"),
    (
        "spec.weights.prediction.min",
        1.2,
        "spec.weights.prediction.min",
        "is 1.2, but must not be above initial, which is 1",
    ),
    (
        "spec.weights.prediction.initial",
        2,
        "spec.weights.prediction.initial",
        "is 2, but must not be above max, which is 1.5",
    ),
    (
        "spec.report.leaseSeconds",
        19,
        "spec.report.intervalSeconds",
        "is 10, but must not be above 1/2 of leaseSeconds, 9.5",
    ),
    (
        "spec.upstream.url",
        "ftp://llm",
        "spec.upstream.url",
        "is 'ftp://llm', but must be http://HOST or https://HOST, with a port and a path if need be",
    ),
    (
        "spec.upstream.url",
        "http://user:secret@llm",
        "spec.upstream.url",
        "is 'http://user:secret@llm', but must hold neither credentials, query, fragment nor blanks",
    ),
    (
        "spec.upstream.url",
        "http://llm:99999",
        "spec.upstream.url",
        "is 'http://llm:99999', which is no URL: Port out of range 0-65535",
    ),
    ("spec.upstream.caBundle", "PEM", "spec.upstream.caBundle", "needs an https:// url"),
    (
        "spec.inject.port",
        17020,
        "spec.inject.port",
        "can't be 17020, which is the sidecar's own for probes and metrics",
    ),
    ("spec.inject.port", 80, "spec.inject.port", "is 80, but must be from 1024 to 65535"),
    (
        ENV,
        [{"name": "PATH"}],
        "spec.inject.env[0].name",
        "is 'PATH', but must be a name that ends in _URL, _HOST or _ENDPOINT",
    ),
    (ENV, [{"name": "A_URL"}, {"name": "A_URL"}], "spec.inject.env[1].name", "is 'A_URL', which the list has already"),
    (ENV, [{"name": "A_URL", "path": "v1"}], "spec.inject.env[0].path", "is 'v1', but must begin with /"),
    (
        EXPRESSIONS,
        {"matchExpressions": [{"key": "app", "operator": "In"}]},
        "spec.clients.podSelector.matchExpressions[0].values",
        "must be given for In and NotIn and left out for Exists and DoesNotExist",
    ),
    (CLASSES, [CLASS, CLASS], f"{CLASSES}[1].name", "is 'batch', which the list has already"),
    (CLASSES, [{**CLASS, "weight": 0}], f"{CLASSES}[0].weight", "is 0, but must be above 0"),
    (CLASSES, [{**CLASS, "weight": float("nan")}], f"{CLASSES}[0].weight", "is nan, but must be a finite number"),
    (CLASSES, [{**CLASS, "floor": -1}], f"{CLASSES}[0].floor", "is -1, but must be at least 0"),
    (
        CLASSES,
        [{**CLASS, "floor": 5, "ceiling": 4}],
        f"{CLASSES}[0].floor",
        "is 5, but must not be above ceiling, which is 4",
    ),
    (
        CLASSES,
        [{**CLASS, "floor": 300}, {**CLASS, "name": "chat", "floor": 150}],
        CLASSES,
        "have floors of 450 together, but must not be above fillRate.max, which is 400",
    ),
    ("spec.weights.load", 1, "spec.weights.load", "is 1, but must be at most 0"),
    ("spec.weights.load", float("nan"), "spec.weights.load", "is nan, but must be a finite number"),
    ("spec.thresholds.load.high", 1, "spec.thresholds.load.high", "is 1, but must be above 0 and below 1"),
    (
        "spec.thresholds.load.low",
        0.9,
        "spec.thresholds.load.low",
        "is 0.9, but must be at least 0 and below high, which is 0.85",
    ),
    (LATENCY, 0, LATENCY, "is 0, but must be above 0"),
    ("spec.priority.maxBoost", -0.1, "spec.priority.maxBoost", "is -0.1, but must be at least 0"),
    ("spec.priority.maxPenalty", 1, "spec.priority.maxPenalty", "is 1, but must be at most 0.99"),
    ("spec.cost.reserve", -1, "spec.cost.reserve", "is -1, but must be at least 0"),
    ("spec.cost.maxDebt", -1, "spec.cost.maxDebt", "is -1, but must be at least 0"),
    (
        "spec.forecast.timeZone",
        "Mars/Olympus",
        "spec.forecast.timeZone",
        "is 'Mars/Olympus', but must be an IANA name such as Europe/Paris",
    ),
    (USERS, {"authorized": True}, f"{USERS}.authorized", "needs a header"),
    ("spec.mode", "Loose", "spec.mode", "invalid enum value 'Loose'"),
]


@pytest.mark.parametrize(("path", "value", "field", "sentence"), FAULTS)
def test_a_fault_is_named_by_field_and_sentence(
    make_manifest: Make, path: str, value: object, field: str, sentence: str
) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        parse_policy(make_manifest({path: value}))
    assert (caught.value.reason, caught.value.field, str(caught.value)) == (
        "InvalidSpec",
        field,
        f"{field}: {sentence}",
    )


@pytest.mark.parametrize("metadata", [{}, {"name": "llm"}, {"name": 7, "namespace": "ai"}, None])
def test_a_manifest_without_a_name_is_refused(make_manifest: Make, metadata: object) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        parse_policy(make_manifest({"metadata": metadata}))
    assert caught.value.reason == "InvalidMetadata"


def test_a_good_manifest_becomes_a_value(make_manifest: Make) -> None:
    policy = parse_policy(make_manifest({"spec.fillRate.base": 0}))
    assert (policy.key, policy.namespace, policy.name) == ("ai/llm", "ai", "llm")
    assert (policy.uid, policy.generation, policy.spec.fill_rate.base) == ("policy-uid", 1, 0.0)
    assert policy.spec.inject.env[0].path == "/v1"


def test_a_bundle_that_only_looks_like_certificates_is_refused(make_manifest: Make) -> None:
    bundle = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    body = make_manifest({"spec.upstream.url": "https://llm.ai.svc", "spec.upstream.caBundle": bundle})
    with pytest.raises(InvalidPolicy, match=r"^spec.upstream.caBundle: holds no certificates in PEM$"):
        parse_policy(body)
