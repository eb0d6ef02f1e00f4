"""Applies the schema of a TokenPolicy where no API server does: the packaged CRD's fields, defaults and bounds.

The CRD's rules between fields are in CEL, which nothing here runs: `forefill_operator.rules` tells them again.
"""

import copy
import functools
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

import jsonschema
import yaml

from forefill_operator.policy import InvalidPolicy

FILE = "tokenpolicies.forefill.io.yaml"
Schema = Mapping[str, Any]


@functools.cache
def load() -> Schema:
    """The OpenAPI schema of the one version, as the CRD has it."""
    text = resources.files("forefill_operator").joinpath(FILE).read_text(encoding="utf-8")
    schema: Schema = yaml.safe_load(text)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def complete(body: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with all defaults filled, as the API server would store it.

    Raises InvalidPolicy for the first fault. Unknown fields are refused, as `kubectl apply` refuses them.
    """
    filled = defaulted(body)
    for fault in faults(filled):
        raise fault
    return filled


def defaulted(body: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with all defaults filled, right or wrong."""
    filled = copy.deepcopy(dict(body))
    _fill(filled, load())
    return filled


def _fill(value: Any, schema: Schema) -> None:
    """A missing or null field gets its default; then the default's own fields get theirs."""
    if isinstance(value, dict):
        for name, field in schema.get("properties", {}).items():
            if "default" in field and value.get(name) is None:
                value[name] = copy.deepcopy(field["default"])
            _fill(value.get(name), field)
    elif isinstance(value, list):
        for item in value:
            _fill(item, schema.get("items", {}))


def faults(body: Mapping[str, Any]) -> Iterator[InvalidPolicy]:
    """What is wrong with a defaulted manifest, in the order of its fields."""
    errors = sorted(_Validator(load()).iter_errors(body), key=lambda error: [str(step) for step in error.path])
    for error in errors:
        yield InvalidPolicy("InvalidSpec", *_sentence(error))


def _path(steps: Iterator[str | int]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".") or "manifest"


def _sentence(error: jsonschema.ValidationError) -> tuple[str, str]:
    """The field and what is wrong with it, in one sentence that tells what is allowed."""
    field = _path(iter(error.absolute_path))
    got: Any = error.instance
    limit: Any = error.validator_value
    bounds = error.schema if isinstance(error.schema, Mapping) else {}
    match error.validator:
        case "required":
            missing = next(name for name in limit if name not in got)
            return f"{field}.{missing}".removeprefix("manifest."), "is required"
        case "type":
            return field, f"is {_shown(got)}, but must be {_ARTICLES[limit]}"
        case "enum":
            return field, f"is {_shown(got)}, but must be one of {', '.join(limit)}"
        case "minimum":
            word = "above" if bounds.get("exclusiveMinimum") else "at least"
            return field, f"is {_shown(got)}, but must be {word} {limit}"
        case "maximum":
            word = "below" if bounds.get("exclusiveMaximum") else "at most"
            return field, f"is {_shown(got)}, but must be {word} {limit}"
        case "pattern":
            return field, f"is {_shown(got)}, but must match {limit}"
        case "unknown":
            return field, f"is not a field; known ones are {', '.join(limit)}"
        case _:
            return field, error.message


_ARTICLES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a string",
    "number": "a finite number",
    "integer": "a whole number",
    "boolean": "true or false",
}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _is_number(_: object, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # Whole numbers may be too large for a float, and no NaN is within bounds.
    return -sys.float_info.max <= value <= sys.float_info.max


def _pattern(_: object, pattern: str, value: object, __: Schema) -> Iterator[jsonschema.ValidationError]:
    """Python's `$` also matches before a final line feed, the API server's does not."""
    if isinstance(value, str) and re.search(pattern.removesuffix("$") + r"\Z", value) is None:
        yield jsonschema.ValidationError("does not match")


def _unknown(_: object, known: Schema, value: object, schema: Schema) -> Iterator[jsonschema.ValidationError]:
    """`properties`, and a fault for each field that is not among them."""
    yield from jsonschema.Draft4Validator.VALIDATORS["properties"](_, known, value, schema)
    if isinstance(value, dict):
        for name in sorted(set(value) - set(known), key=str):
            yield jsonschema.ValidationError("unknown", validator="unknown", path=[name], validator_value=sorted(known))


def _list_type(_: object, kind: str, value: object, schema: Schema) -> Iterator[jsonschema.ValidationError]:
    """Lists of the types set and map hold no element, or no key, twice."""
    if kind == "atomic" or not isinstance(value, list):
        return
    keys = schema.get("x-kubernetes-list-map-keys", ())
    seen: list[object] = []
    for index, item in enumerate(value):
        identity = [item.get(key) for key in keys] if isinstance(item, dict) else item
        if identity in seen:
            yield jsonschema.ValidationError(f"is {_shown(item)}, which the list has already", path=[index])
        seen.append(identity)


# OpenAPI 3.0's exclusiveMinimum is a boolean beside minimum, as in draft 4.
_Validator = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft4Validator,
    validators={"pattern": _pattern, "properties": _unknown, "x-kubernetes-list-type": _list_type},
    type_checker=jsonschema.Draft4Validator.TYPE_CHECKER.redefine("number", _is_number),
)
