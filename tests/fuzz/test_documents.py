"""Documents of people and other programs: a value, or a sentence that says what is wrong."""

from collections.abc import Callable
from typing import Any

import pytest
from bench.fuzz import documents
from hypothesis import example, given, settings
from hypothesis import strategies as st

from forefill_operator import schema

_NUMBERS = st.sampled_from([0, -1, 0.5, 1, 1e308, 10**400, float("nan"), float("inf")]) | st.integers() | st.floats()
_TEXTS = st.sampled_from(["", "1", "nan", "1_0", "http://[", "http://a:0", "\ud800", "\0", "x" * 300]) | st.text()
_LEAVES = st.none() | st.booleans() | _NUMBERS | _TEXTS
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)


def _whole() -> dict[str, Any]:
    """Every field that the schema has, with its default or a first value that fits."""
    spec = _filled(schema.load()["properties"]["spec"])
    spec["upstream"] = {"url": "http://a", "caBundle": ""}
    metadata = {"name": "llm", "namespace": "ns"}
    return {"apiVersion": "forefill.io/v1alpha1", "kind": "TokenPolicy", "metadata": metadata, "spec": spec}


def _filled(field: Any) -> Any:
    if "enum" in field:
        return field["enum"][0]
    match field.get("type"):
        case "object":
            return {name: _filled(inner) for name, inner in field.get("properties", {}).items()}
        case "array":
            return [_filled(field["items"])]
        case "number" | "integer":
            return field.get("default", field.get("minimum", 1))
        case "boolean":
            return False
        case _:
            return field.get("default", "a")


@st.composite
def _altered(draw: st.DrawFn, whole: Any) -> Any:
    """`whole` with one place of it, at any depth, replaced or gone."""
    if isinstance(whole, dict) and whole and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(whole)))
        return {**whole, key: draw(_altered(whole[key]))}
    if isinstance(whole, list) and whole and draw(st.integers(0, 9)):
        return [draw(_altered(whole[0])), *whole[1:]]
    if isinstance(whole, dict) and whole and draw(st.booleans()):
        gone = draw(st.sampled_from(sorted(whole)))
        return {key: value for key, value in whole.items() if key != gone}
    return draw(_TREES)


_SMALL = {
    "apiVersion": "forefill.io/v1alpha1",
    "kind": "TokenPolicy",
    "metadata": {"name": "llm"},
    "spec": {"upstream": {"url": "http://a"}, "fillRate": {"base": 50, "min": 20, "max": 400}},
}
_MANIFESTS = _TREES | _altered(_SMALL) | _altered(_whole()) | _altered(_SMALL).flatmap(_altered)


@settings(max_examples=100)
@example({**_SMALL, "spec": None})
@example({**_SMALL, "spec": {"upstream": {"url": "http://[::1"}, "fillRate": {"base": 10**400}}})
@given(_MANIFESTS)
def test_policies(document: Any) -> None:
    documents.manifest(document)
    if isinstance(document, dict):
        documents.completed(document)


_SAMPLES = st.tuples(_NUMBERS, _TEXTS | st.sampled_from(["0.5", "1e999", "-1", "1e-320", "+Inf", "١"])).map(list)
_LABELS = st.dictionaries(st.sampled_from(["pod", "namespace", "x"]), _TREES, max_size=3)
_SERIES = st.fixed_dictionaries({}, optional={"metric": _LABELS | _TREES, "value": _SAMPLES | _TREES})


@given(_TREES | _SAMPLES | st.lists(_SERIES | _SAMPLES | _TREES, max_size=4))
def test_answers_of_prometheus(document: Any) -> None:
    documents.answer(document)


_CELLS = st.sampled_from(
    ["t", "client", "tokens", "known_at", "0", "1", "2", "a", "b", "-1", "1e12", "1e308", "nan", "5e-324", "1e-300", ""]
) | st.sampled_from(["2024-01-01", "2024-01-01T00:00:10+00:00", "0001-01-01T00:00+14:00", '"', "\0", "\r", "1_0"])
_ROWS = st.lists(st.lists(_CELLS, max_size=4).map(",".join), max_size=6)
_HEADERS = st.sampled_from(["t,client,tokens", "known_at,t,client,tokens", "t,tokens", ""])


@example("t,client,tokens\n0,a,1\n5e-324,a,1\n1,a,1")
@example('t,client,tokens\n0,"' + "a" * 140_000 + '",1\n1,a,1')
@example("t,tokens\n0001-01-01T00:00+14:00,1\n0001-01-01T00:00:10+14:00,1")
@given(st.tuples(_HEADERS, _ROWS).map(lambda parts: "\n".join([parts[0], *parts[1]])) | st.text(max_size=100))
def test_tables(text: str) -> None:
    documents.tables(text)


@pytest.mark.parametrize("read", [documents.manifest_text, documents.answer_text, documents.table_text])
@example(b"[" * 100_000)
@given(st.binary(max_size=100))
def test_texts_that_are_no_documents(read: Callable[[bytes], None], data: bytes) -> None:
    read(data)
