"""Documents that people and other programs write: policies, answers to PromQL, tables. A value or a sentence."""

import json
import math
from typing import Any

import msgspec
from bench.fuzz import must

from forefill_lab.simulator import demand, expect
from forefill_operator import manifests, schema
from forefill_operator.load import readings
from forefill_operator.policy import InvalidPolicy, parse_policy
from forefill_sidecar.forecast import table


def manifest(document: Any) -> None:
    """As a file's, with the schema first; then as the API server's, which may have had another schema."""
    for read in (_from_file, parse_policy):
        try:
            policy = read(document) if isinstance(document, dict) else _from_file(document)
        except InvalidPolicy as invalid:
            must(invalid.field, invalid)
            must(str(invalid).removeprefix(f"{invalid.field}: ").strip(), invalid)
            continue
        rates = policy.spec.fill_rate
        assert 0 < rates.min <= rates.max < math.inf, rates
        assert rates.base <= rates.max, rates
        msgspec.json.encode(policy)


def _from_file(document: Any) -> Any:
    return parse_policy(manifests._identified(document))


def completed(document: dict[str, Any]) -> None:
    """The schema by itself refuses with InvalidPolicy or fills in what it can."""
    try:
        schema.complete(document)
    except InvalidPolicy as invalid:
        must(str(invalid), invalid)


def answer(document: Any) -> None:
    """Of Prometheus: a load in [0, 1] and rates that are finite, or faults that can be shown."""
    reading = readings.reading_of(document)
    assert reading.fault is not None or reading.value is not None
    assert reading.value is None or 0.0 <= reading.value <= 1.0
    rates = readings.rates_of(document, "ns")
    assert all(math.isfinite(rate) and rate >= 0.0 for rate in rates.by_pod.values()), rates
    for fault in (reading.fault, *rates.faults):
        assert fault is None or (fault.sentence.isprintable() and len(fault.sentence) < 300), fault


def tables(text: str) -> None:
    """Demand, declarations and a column to forecast."""
    lines = text.split("\n")
    known = None
    try:
        known = demand.read(lines)
    except demand.Unusable as unusable:
        must(str(unusable), unusable)
    if known is not None:
        assert known.step > 0
        assert bool((known.tokens >= 0).all())
        assert math.isfinite(float(known.tokens.sum()))
    some = known or demand.read(["t,client,tokens", "0,a,1", "1,a,1"])
    try:
        expect.read(lines, some)
    except demand.Unusable as unusable:
        must(str(unusable), unusable)
    for stamps in (None, "t"):
        try:
            found = table.read(lines, "tokens", 10.0, stamps)
        except table.Unusable as unusable:
            must(str(unusable), unusable)
            continue
        assert all(window.missed >= 0 and 0 <= window.value < math.inf for window in found.windows)


def manifest_text(data: bytes) -> None:
    if (document := _json(data)) is not _NOTHING:
        manifest(document)
        if isinstance(document, dict):
            completed(document)


def answer_text(data: bytes) -> None:
    if (document := _json(data)) is not _NOTHING:
        answer(document)


def table_text(data: bytes) -> None:
    tables(data.decode(errors="replace"))


_NOTHING = object()


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return _NOTHING
