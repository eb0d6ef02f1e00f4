from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from forefill_protocol import codec, messages
from forefill_protocol.policysettings import CostSettings, ForecastSettings, Inherited, PolicySettings, QueueSettings

GOLDEN = Path(__file__).parent / "golden" / "v1"

FORECAST = messages.Forecast(mean=10.5, p50=10.0, p90=14.0, p95=16.0)
SETTINGS = PolicySettings(
    report_interval_seconds=10.0,
    lease_seconds=30.0,
    fallback="Safe",
    forecast=ForecastSettings(model="Ensemble", quantile=0.95, horizon_windows=3),
    queue=QueueSettings(max_wait_seconds=5.0, max_requests=1000),
    cost=CostSettings(default=1.0, header="x-tokens"),
)
REPORT = messages.Report(
    sequence=7,
    entries=[
        messages.PolicyReport(
            policy="ai/llm",
            window_seconds=10.0,
            offered=120.0,
            admitted=100.0,
            refused=5.0,
            backlog=15.0,
            requests=118,
            forecasts=[FORECAST] * 3,
            grant_sequence=4,
            policy_generation=2,
            errors=1,
            request_bytes=messages.Spread(mean=512.0, p50=400.0, p95=2000.0),
            cost=messages.Spread(mean=1.0, p50=1.0, p95=2.0),
            upstream_seconds=messages.Spread(mean=0.04, p50=0.03, p95=0.11),
        )
    ],
)
EARLY = messages.Report(
    sequence=8,
    entries=[
        msgspec.structs.replace(
            REPORT.entries[0],
            window_seconds=2.5,
            expectations=[messages.Expectation(after_seconds=30.0, for_seconds=5.0, tokens=2000.0)],
            early=True,
        )
    ],
)
ASSIGNMENT = messages.Assignment(
    policy="ai/llm",
    policy_uid="u",
    policy_generation=2,
    grant_sequence=5,
    answers=7,
    fill_rate=14.0,
    burst=42.0,
    safe_rate=3.0,
    next_report_seconds=10.0,
    rate_seconds=12.0,
    lease_seconds=30.0,
    mode="Enforce",
    reason="max-min share",
    settings=SETTINGS,
)
WHOLE_SETTINGS = msgspec.structs.replace(
    SETTINGS,
    forecast=ForecastSettings(
        model="Arima", quantile=0.95, horizon_windows=3, time_zone="Europe/Vienna", user_header="x-user"
    ),
)
INHERITED = Inherited(
    interval_seconds=10.0,
    level=12.0,
    scale=3.5,
    weekday=[0.5] * 48 + [1.5] * 48,
    weekend=[1.0] * 96,
    ar=[0.3],
    ma=[-0.7],
    differenced=True,
    experts=[0.5, 0.25, 0.25],
    recent=[11.0, 14.0, 9.5],
)
UP: dict[str, messages.Up] = {
    "hello": messages.Hello(
        protocol=1,
        boot_id="b1",
        software="forefill 0.1.0",
        holdings=[messages.Holding(policy="ai/llm", policy_uid="u", grant_sequence=4, fill_rate=12.0, safe_rate=3.0)],
    ),
    "report": REPORT,
    "report-early": EARLY,
    "report-spare": msgspec.structs.replace(
        REPORT,
        entries=[
            msgspec.structs.replace(
                REPORT.entries[0], spare_tokens=12.5, recent_seconds=1.25, recent_offered=30.0, early=True
            )
        ],
    ),
    "ack": messages.Ack(policy="ai/llm", grant_sequence=5, policy_generation=2),
    "ack-ca": messages.Ack(
        policy="ai/llm", grant_sequence=5, policy_generation=2, ca_fingerprint="0123456789abcdef0123456789abcdef"
    ),
    "ack-tokens": messages.Ack(policy="ai/llm", grant_sequence=6, policy_generation=2, tokens=3.5),
    "renew": messages.Renew(token="a.b.c"),
    "goodbye": messages.Goodbye(reason="the pod ends"),
}
DOWN: dict[str, messages.Down] = {
    "assignment": ASSIGNMENT,
    "assignment-whole": msgspec.structs.replace(
        ASSIGNMENT,
        lump_tokens=6.0,
        priority=1.1,
        ticket=b"ticket",
        steps=[messages.Step(after_seconds=4.0, fill_rate=20.0)],
        settings=WHOLE_SETTINGS,
        ca_bundle="PEM",
        inherited=INHERITED,
    ),
    "recall": messages.Recall(policy="ai/llm", grant_sequence=6, fill_rate=7.0, reason="another client's step"),
    "recall-tokens": messages.Recall(policy="ai/llm", grant_sequence=6, fill_rate=7.0, tokens=4.0),
    "refused": messages.Refused(code=404, sentence="no policy ai/llm is known here", policy="ai/llm"),
    "bye": messages.Bye(reason="the operator restarts", reconnect_after_seconds=1.5),
}


@pytest.mark.parametrize("name", UP)
def test_messages_up_keep_their_golden_bytes(name: str) -> None:
    golden = bytes.fromhex((GOLDEN / f"up-{name}.hex").read_text())
    assert codec.decode_up(golden) == UP[name]
    assert codec.encode(UP[name]) == golden


@pytest.mark.parametrize("name", DOWN)
def test_messages_down_keep_their_golden_bytes(name: str) -> None:
    golden = bytes.fromhex((GOLDEN / f"down-{name}.hex").read_text())
    assert codec.decode_down(golden) == DOWN[name]
    assert codec.encode(DOWN[name]) == golden


def test_every_golden_file_is_of_a_known_message() -> None:
    expected = {f"up-{name}.hex" for name in UP} | {f"down-{name}.hex" for name in DOWN}
    assert {path.name for path in GOLDEN.iterdir()} == expected


def test_unknown_fields_are_ignored() -> None:
    body = msgspec.msgpack.decode(codec.encode(UP["ack"])[2:])
    body["colour"] = {"of": ["things", "to", "come"]}
    assert codec.decode_up(b"\x01\x00" + msgspec.msgpack.encode(body)) == UP["ack"]


def test_a_long_message_is_compressed_and_reads_back() -> None:
    long = messages.Report(sequence=1, entries=REPORT.entries * 16)
    frame = codec.encode(long)
    assert frame[1] == codec.ZSTD
    assert len(frame) < len(msgspec.msgpack.encode(long)) / 4
    assert codec.decode_up(frame) == long


@pytest.mark.parametrize(
    ("frame", "code", "sentence"),
    [
        (b"", 400, "the frame has 0 bytes; a message has at least 3"),
        (b"\x02\x00\x80", 505, "protocol version 2 is not spoken here; 1 is"),
        (b"\x01\x07\x80", 400, "encoding 7 is unknown; 0 (msgpack) and 1 (msgpack under zstd) are allowed"),
        (b"\x01\x00\xc1", 400, "the message can't be read"),
        (b"\x01\x00\x80", 400, "the message can't be read"),
        (b"\x01\x01\x80", 400, "the compressed message can't be read"),
        (b"\x01\x00" + bytes(codec.MAX_FRAME_BYTES), 413, f"at most {codec.MAX_FRAME_BYTES} are allowed"),
    ],
)
def test_what_is_no_message_is_refused_with_a_code_and_a_sentence(frame: bytes, code: int, sentence: str) -> None:
    with pytest.raises(codec.BadFrame) as caught:
        codec.decode_up(frame)
    assert caught.value.code == code
    assert sentence in caught.value.sentence


def test_a_zip_bomb_is_refused_before_anything_is_allocated() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(64 * 1024 * 1024))
    with pytest.raises(codec.BadFrame, match="must state its size"):
        codec.decode_up(b"\x01\x01" + bomb)


def test_a_compressed_message_without_its_size_is_refused() -> None:
    packed = zstandard.ZstdCompressor(write_content_size=False).compress(b"\x80" * 600)
    with pytest.raises(codec.BadFrame, match="must state its size"):
        codec.decode_up(b"\x01\x01" + packed)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1e308])
def test_numbers_that_no_window_can_hold_are_refused(value: float) -> None:
    entry = msgspec.structs.replace(REPORT.entries[0], offered=value)
    frame = codec.encode(messages.Report(sequence=1, entries=[entry]))
    with pytest.raises(codec.BadFrame, match=r"entries\[0\].offered"):
        codec.decode_up(frame)


@pytest.mark.parametrize("policy", ["llm", "ai/", "AI/llm", "ai/llm/x", "../etc"])
def test_a_policy_name_is_a_namespace_and_a_name(policy: str) -> None:
    with pytest.raises(codec.BadFrame, match="policy"):
        codec.decode_up(codec.encode(messages.Ack(policy=policy, grant_sequence=1, policy_generation=1)))


def test_a_message_too_large_to_send_is_refused_where_it_is_made() -> None:
    with pytest.raises(codec.BadFrame, match="at most"):
        codec.encode(messages.Renew(token="".join(chr(33 + i * i % 89) for i in range(codec.MAX_BODY_BYTES))))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_bad_frame(data: bytes) -> None:
    for prefix in (b"", b"\x01\x00", b"\x01\x01"):
        for outcome in (outcome_of(codec.decode_up, prefix + data), outcome_of(codec.decode_down, prefix + data)):
            assert isinstance(outcome, messages.Message) or (400 <= outcome.code < 600 and outcome.sentence)


def outcome_of(decode: Callable[[bytes], messages.Message], data: bytes) -> messages.Message | codec.BadFrame:
    try:
        return decode(data)
    except codec.BadFrame as bad:
        return bad
