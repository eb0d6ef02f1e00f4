"""Bytes of strangers: a value, or the one error that is promised; no other, and no bombs."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import zstandard
from bench.fuzz import decoders
from hypothesis import example, given, settings
from hypothesis import strategies as st

from forefill_operator import records, relay
from forefill_operator.client import Client
from forefill_operator.demand import Demand
from forefill_operator.envelope import Held
from forefill_operator.tickets import Ticket
from forefill_protocol import codec, messages
from forefill_protocol.policysettings import CostSettings, ForecastSettings, Inherited, PolicySettings, QueueSettings
from forefill_sidecar import state
from forefill_sidecar.expectations import Expectations
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.keepsake import Kept
from forefill_sidecar.profile import Profile

_NUMBERS = st.sampled_from([0, 1, -1, 2**53, 2**63, 2**64 - 1, 1e308, 1e12, 5e-324, float("nan"), float("inf")])
_LEAVES = st.none() | st.booleans() | _NUMBERS | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8) | st.binary()
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_BAD_TEXT = b"\xa4\xff\xfe\xfd\xfc"
_DEEP = b"\x91" * 5000


def _plain(value: object) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value))


@st.composite
def _altered(draw: st.DrawFn, whole: Any) -> Any:
    """`whole` with one place of it, at any depth, replaced, left out or doubled."""
    if isinstance(whole, dict) and whole and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(whole)))
        return {**whole, key: draw(_altered(whole[key]))}
    if isinstance(whole, list) and whole and draw(st.integers(0, 3)):
        place = draw(st.integers(0, len(whole) - 1))
        return [*whole[:place], draw(_altered(whole[place])), *whole[place + 1 :]]
    if isinstance(whole, dict) and whole and draw(st.booleans()):
        gone = draw(st.sampled_from(sorted(whole)))
        return {key: value for key, value in whole.items() if key != gone}
    if isinstance(whole, list) and draw(st.booleans()):
        return whole * 2
    return draw(_TREES)


@st.composite
def _bytes_like(draw: st.DrawFn, whole: object, encode: Callable[[Any], bytes] = msgspec.msgpack.encode) -> bytes:
    """Noise, any tree, `whole` with a place altered, or its bytes with a few of them altered."""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return draw(st.binary(max_size=200) | st.sampled_from([_BAD_TEXT, _DEEP]))
    if kind == 1:
        return _encoded(draw(_TREES), encode)
    if kind == 2:
        return _encoded(draw(_altered(_plain(whole))), encode)
    data = bytearray(encode(_plain(whole)))
    for _ in range(draw(st.integers(1, 3))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.sampled_from([0, 0x7F, 0xA4, 0xC1, 0xDF, 0xFF]))
    return bytes(data)


def _encoded(tree: Any, encode: Callable[[Any], bytes]) -> bytes:
    try:
        return encode(tree)
    except (TypeError, ValueError):  # no JSON
        return repr(tree).encode()


_FORECAST = messages.Forecast(1.0, 1.0, 2.0, 3.0)
_REPORT = messages.Report(
    7,
    [
        messages.PolicyReport(
            "ns/llm", 10.0, 5.0, 5.0, 0.0, 0.0, 5, [_FORECAST] * 3, 3, 1, 0,
            messages.Spread(1.0, 1.0, 1.0), None, None, [messages.Expectation(1.0, 2.0, 3.0)],
        )
    ],
)  # fmt: skip
_SETTINGS = PolicySettings(
    10.0, 30.0, "Safe", ForecastSettings("Ensemble", 0.95, 3), QueueSettings(5.0, 10),
    CostSettings(1.0),
)  # fmt: skip
_ASSIGNMENT = messages.Assignment(
    "ns/llm", "uid", 1, 2, 3, 10.0, 30.0, 5.0, 10.0, 12.0, 30.0, "Enforce", 1.0, 1.0, "", b"t",
    [messages.Step(1.0, 2.0)], _SETTINGS, "", Inherited(10.0, 1.0, 1.0, [1.0] * 96),
)  # fmt: skip
_CLIENT = Client("ns", "sa", "pod", "uid", {"app": "x"}, "Deployment/x")
_RECORD = records.Record(_CLIENT, _ASSIGNMENT, Held(1.0, 2.0, 3.0), 1, Demand(1.0, 1.0))
_TICKET = Ticket("uid", "policy", 1.0, 1.0, 1, 0.0, 600.0, b"d" * 16, "ns", "sa", "pod", "", {"a": "b"})
_POD = {
    "listeners": [
        {
            "policy": "ns/llm", "policy_uid": "", "policy_generation": 1, "port": 17001, "upstream": "http://a",
            "mode": "Enforce", "safe_rate": 1.0, "burst": 1.0, "settings": _plain(_SETTINGS),
        }
    ]
}  # fmt: skip


def _learned() -> Any:
    predictor, expectations = Predictor("Ensemble", 3), Expectations()
    predictor.observe(5.0)
    expectations.declare(1.0, 60.0, 10.0, 500.0)
    profile = Profile(predictor.season)
    return _plain(
        msgspec.msgpack.decode(
            state.encode(decoders.POLICY, predictor, profile, expectations, 1.0, decoders.WALL_TIME - 60.0)
        )
    )


def _frame(body: bytes, encoding: int = codec.PLAIN) -> bytes:
    return bytes((messages.PROTOCOL_VERSION, encoding)) + body


@given(_bytes_like(_REPORT), st.sampled_from([codec.PLAIN, codec.ZSTD]))
def test_reports(body: bytes, encoding: int) -> None:
    decoders.up(body)
    packed = zstandard.ZstdCompressor().compress(body) if encoding else body
    decoders.up(_frame(packed, encoding))


@given(_bytes_like(_ASSIGNMENT))
def test_assignments(body: bytes) -> None:
    decoders.down(_frame(body))


@pytest.mark.parametrize("size", [codec.MAX_BODY_BYTES + 1, 2**24, 2**30])
def test_a_frame_that_unpacks_to_more_than_is_allowed_is_refused_unopened(size: int) -> None:
    params = zstandard.ZstdCompressor(level=1).compressobj(size=size)
    with pytest.raises(codec.BadFrame) as refused:
        codec.decode_up(_frame(params.compress(b"\0" * 1000) + params.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK), 1))
    assert refused.value.code == 413


@example(_BAD_TEXT)
@example(_DEEP)
@given(_bytes_like(_RECORD))
def test_records_of_the_store(data: bytes) -> None:
    decoders.record(data)


@example(_BAD_TEXT)
@given(_bytes_like(["forwarded", "one", _plain(_CLIENT), b"m"]) | _bytes_like(relay.Left("one", "uid")))
def test_what_operators_say_to_each_other(data: bytes) -> None:
    decoders.relayed(data)


@given(st.binary(max_size=40) | st.sampled_from([b"one 1", b"one", b"", b"one \xff", b"one 1e3", b"one -1"]))
def test_owners_in_the_store(data: bytes) -> None:
    decoders.owner(data)


@example(_BAD_TEXT)
@given(_bytes_like(_TICKET))
def test_tickets(data: bytes) -> None:
    decoders.ticket(data)


@given(_bytes_like([{"secret": "a2tr", "made_at": 0.0}], lambda tree: json.dumps(tree).encode()))
def test_ticket_keys(data: bytes) -> None:
    decoders.ticket_keys(data)


@example(b'{"listeners": "\xff"}')
@given(_bytes_like(_POD, lambda tree: json.dumps(tree).encode()))
def test_settings_of_a_pod(data: bytes) -> None:
    decoders.settings(data)


@example(_BAD_TEXT)
@example(_DEEP)
@given(_bytes_like({"version": 1, "kept": [_plain(Kept(_ASSIGNMENT, 1.0))]}))
def test_kept_assignments(data: bytes) -> None:
    decoders.kept(data)


@settings(max_examples=60)
@example(_BAD_TEXT)
@example(_DEEP)
@given(_bytes_like(_learned()))
def test_what_a_sidecar_has_learned(data: bytes) -> None:
    decoders.learned(data)
