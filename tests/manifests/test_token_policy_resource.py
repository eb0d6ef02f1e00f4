"""crds/ is the one source: the code reads what it declares and nothing else, and every copy is the same."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest
import yaml

from forefill_operator import schema
from forefill_operator.manifests import InvalidManifest, read_file
from forefill_operator.shaping import Clamp
from forefill_operator.spec import AnomalySpec, Spec
from forefill_operator.status import PolicyStatus
from forefill_sidecar.forecast import MODELS

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "crds" / "tokenpolicies.forefill.io.yaml"
DEFINITION = yaml.safe_load(SOURCE.read_text())
VERSION = DEFINITION["spec"]["versions"][0]
FIELDS = VERSION["schema"]["openAPIV3Schema"]["properties"]
TABLE = yaml.safe_load((Path(__file__).parent / "invalid_policies.yaml").read_text())


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


def filled(target: Any, patch: Any) -> Any:
    """`target` with the values of `patch` in their places; null is a value."""
    if not isinstance(patch, dict):
        return patch
    return {**target, **{name: filled(target.get(name, {}), value) for name, value in patch.items()}}


def holds(whole: Any, part: Any) -> bool:
    """Every value of `part` is in its place in `whole`."""
    if isinstance(part, dict):
        return all(holds(whole[name], value) for name, value in part.items())
    if isinstance(part, list):
        return all(holds(*pair) for pair in zip(whole, part, strict=True))
    return bool(whole == part)


def written(folder: Path, body: Any) -> Path:
    path = folder / "policy.yaml"
    path.write_text(yaml.safe_dump(body))
    return path


def walk(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field below a node of the schema; [] stands for the items of a list."""
    for name, field in node.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from walk(field, f"{path}.{name}")
    if "items" in node:
        yield from walk(node["items"], f"{path}[]")


def declared(kind: Any, path: str) -> Iterator[str]:
    """Every field of a struct under its name in a manifest, written as `walk` writes it."""
    for argument in get_args(kind):
        yield from declared(argument, f"{path}[]" if get_origin(kind) is list else path)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind)
        for field in msgspec.structs.fields(kind):
            yield f"{path}.{field.encode_name}"
            yield from declared(hints[field.name], f"{path}.{field.encode_name}")


@pytest.mark.parametrize(("kind", "name"), [(Spec, "spec"), (PolicyStatus, "status")])
def test_the_code_has_exactly_the_fields_of_the_schema(kind: type, name: str) -> None:
    assert sorted(declared(kind, name)) == sorted(path for path, _ in walk(FIELDS[name], name))


def test_every_field_has_a_description_for_kubectl_explain() -> None:
    undescribed = [
        path
        for path, field in [*walk(FIELDS["spec"], "spec"), *walk(FIELDS["status"], "status")]
        if not re.match(r"[A-Z\[{0-9].{10,}\.$", " ".join(field.get("description", "").split()))
    ]
    assert undescribed == []


def test_the_parser_has_no_default_other_than_nothing() -> None:
    given = {
        f"{name}.{field.encode_name}": msgspec.to_builtins(default(field))
        for name, kind in structs(Spec)
        for field in msgspec.structs.fields(kind)
        if not field.required
    }
    assert given
    assert {name: value for name, value in given.items() if not is_nothing(value)} == {}


def default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()


def is_nothing(value: Any) -> bool:
    return all(map(is_nothing, value.values())) if isinstance(value, dict) else value in ("", [], None)


def structs(kind: Any) -> Iterator[tuple[str, type[msgspec.Struct]]]:
    for argument in get_args(kind):
        yield from structs(argument)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind.__name__, kind
        for hint in get_type_hints(kind).values():
            yield from structs(hint)


def test_words_of_the_code_are_the_words_of_the_schema() -> None:
    hints = get_type_hints(Spec)
    enums = {name: FIELDS["spec"]["properties"][name]["enum"] for name in ("mode", "fallback")}
    assert {name: list(get_args(hints[name])) for name in enums} == enums
    anomaly = FIELDS["spec"]["properties"]["anomaly"]["properties"]
    assert {name: list(get_args(hint)) for name, hint in get_type_hints(AnomalySpec).items()} == {
        name: anomaly[name]["enum"] for name in ("sensitivity", "action")
    }
    clamps = FIELDS["status"]["properties"]["clamped"]["enum"]
    assert list(get_args(Clamp)) == clamps
    assert get_origin(hints["mode"]) is Literal


def test_the_models_are_those_that_the_sidecar_has() -> None:
    assert set(FIELDS["spec"]["properties"]["forecast"]["properties"]["model"]["enum"]) == set(MODELS)


@pytest.mark.parametrize(
    "copy",
    [
        ROOT / "charts" / "forefill" / "files" / SOURCE.name,
        ROOT / "operator" / "forefill_operator" / schema.FILE,
    ],
    ids=["chart", "operator"],
)
def test_a_copy_is_the_same_as_the_source(copy: Path) -> None:
    assert copy.read_bytes() == SOURCE.read_bytes()


def test_patterns_are_anchored_since_the_reader_of_files_matches_whole_values() -> None:
    patterns = [field["pattern"] for _, field in walk(FIELDS["spec"], "spec") if "pattern" in field]
    assert patterns
    assert [pattern for pattern in patterns if not (pattern.startswith("^") and pattern.endswith("$"))] == []


def test_bounds_are_whole_since_the_api_server_cuts_them_for_whole_numbers() -> None:
    bounds = {
        f"{path} {bound}": field[bound]
        for path, field in walk(FIELDS["spec"], "spec")
        for bound in ("minimum", "maximum")
        if bound in field
    }
    assert bounds
    assert {name: value for name, value in bounds.items() if value != int(value)} == {}


def test_every_rule_between_fields_has_a_case_in_the_table() -> None:
    nodes = [FIELDS["spec"], *(field for _, field in walk(FIELDS["spec"], "spec"))]
    rules = [rule for node in nodes for rule in [*ruled(node), *ruled(node.get("items", {}))]]
    tested = {case["words"][0] for case in TABLE["cases"]}
    assert rules
    assert {rule["rule"] for rule in rules if rule["message"] not in tested} == {"self == oldSelf"}


def ruled(node: dict[str, Any]) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = node.get("x-kubernetes-validations", [])
    return rules


def test_a_short_policy_is_read_with_the_defaults_of_the_schema(tmp_path: Path) -> None:
    (policy,) = read_file(written(tmp_path, TABLE["valid"]), {})
    spec = json.loads(msgspec.json.encode(policy.spec))
    assert policy.key == "default/llm"
    assert spec == filled(
        {
            "mode": "Observe",
            "upstream": {"caBundle": ""},
            "inject": {"port": 17001, "env": []},
            "clients": {
                "namespaces": [],
                "podSelector": {"matchLabels": {}, "matchExpressions": []},
                "classes": [],
            },
            "fillRate": {"surplus": "Lend"},
            "burst": {"seconds": 3},
            "weights": {"prediction": {"initial": 1, "min": 0.8, "max": 1.5}, "load": 0},
            "thresholds": {"load": {"low": 0.6, "high": 0.85}, "latencyP95Milliseconds": None},
            "forecast": {
                "model": "Ensemble",
                "quantile": 0.95,
                "horizonWindows": 3,
                "timeZone": "UTC",
                "userDimension": {"header": "", "authorized": False},
            },
            "report": {"intervalSeconds": 10, "leaseSeconds": 30},
            "cost": {
                "default": 1,
                "header": "",
                "routes": [],
                "perKilobyte": 0,
                "response": {"jsonPointer": ""},
                "reserve": None,
                "maxDebt": None,
            },
            "queue": {"maxWaitSeconds": 5, "maxRequests": 1000},
            "priority": {"maxBoost": 0.1, "maxPenalty": 0.1},
            "anomaly": {"sensitivity": "Medium", "action": "Clamp"},
            "load": {
                "source": "default",
                "cpu": "",
                "memory": "",
                "network": "",
                "clients": "",
                "staleAfterSeconds": 30,
            },
            "fallback": "Safe",
        },
        TABLE["valid"]["spec"],
    )


def test_a_policy_with_every_field_is_read(tmp_path: Path) -> None:
    (policy,) = read_file(written(tmp_path, TABLE["full"]), {})
    spec = json.loads(msgspec.json.encode(policy.spec))
    assert holds(spec, TABLE["full"]["spec"])


@pytest.mark.parametrize("case", TABLE["cases"], ids=[case["name"] for case in TABLE["cases"]])
def test_an_invalid_policy_is_refused_with_a_sentence_that_names_the_field(case: Any, tmp_path: Path) -> None:
    body = merged(TABLE["valid"], {"spec": case["patch"]})
    with pytest.raises(InvalidManifest) as refused:
        read_file(written(tmp_path, body), {})
    sentence = str(refused.value)
    assert sentence.startswith(f"{tmp_path / 'policy.yaml'}: {case['field']}")
    assert case["words"][1] in sentence
    assert "\n" not in sentence
