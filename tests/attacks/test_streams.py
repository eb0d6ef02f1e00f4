"""Attempts of a pod that was let in: against the operator, and against others' shares."""

import asyncio
import struct
from typing import Any

import msgspec
import pytest
import zstandard
from picows import WSMsgType

from forefill_operator.session import FLOODED_SECONDS, MESSAGES_PER_SECOND
from forefill_protocol import codec, messages

Target = Any


async def still_serves(target: Target, say: Any) -> None:
    """Another pod is answered."""
    peer, _ = await target.joined("token-b")
    peer.send(say.report())
    async with asyncio.timeout(20.0):
        assert (await peer.assigned()).answers == 1
    peer.transport.disconnect()


async def test_a_report_that_is_played_again_is_answered_but_not_counted(target: Target, say: Any) -> None:
    peer, _ = await target.joined("token-a")
    peer.send(say.report(1, offered=50.0))
    await peer.assigned()
    before = target.server.controller.figures(0.0)["shop/llm"].predicted_total
    for _ in range(5):
        peer.send(say.report(1, offered=5000.0, forecasts=[messages.Forecast(900.0, 900.0, 900.0, 900.0)]))
        await peer.assigned()
    assert target.server.controller.figures(0.0)["shop/llm"].predicted_total == before


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (bytes(codec.MAX_FRAME_BYTES + 1), 413),
        (b"\x01\x00" + b"\x91" * 60_000, 400),
        (b"\x01\x00" + b"\x81" * 60_000, 400),
        (b"\x01\x00\xdd\xff\xff\xff\xff", 400),
        (b"\x01\x00\xdb\xff\xff\xff\xff", 400),
    ],
    ids=["oversized", "nested arrays", "nested maps", "an array of 4 billion", "a text of 4 GB"],
)
async def test_a_frame_that_is_too_much_is_refused(body: bytes, code: int, target: Target, say: Any) -> None:
    peer, _ = await target.joined("token-a")
    peer.send_bytes(body)
    assert (await peer.refused())[0] == code
    assert target.count("frames_refused", code=str(code)) == 1.0
    peer.send(say.report())
    assert (await peer.assigned()).answers == 1


async def test_a_frame_far_beyond_the_bound_ends_only_its_own_stream(target: Target, say: Any) -> None:
    peer, _ = await target.joined("token-a")
    peer.send_bytes(bytes(8 * codec.MAX_FRAME_BYTES))
    await asyncio.wait_for(peer.closed.wait(), 20.0)
    await still_serves(target, say)


def bombs() -> dict[str, bytes]:
    honest = zstandard.ZstdCompressor().compress(bytes(64 * 1024 * 1024))
    small = bytearray(zstandard.ZstdCompressor().compress(bytes(4096)))
    lying = small.replace(struct.pack("<H", 4096 - 256), struct.pack("<H", 16 - 0), 1)
    unsaid = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(64 * 1024 * 1024))
    return {"states 64 MiB": honest, "states too little": bytes(lying), "states nothing": unsaid}


@pytest.mark.parametrize("name", bombs())
async def test_a_zip_bomb_is_refused_before_it_is_unpacked(name: str, target: Target, say: Any) -> None:
    peer, _ = await target.joined("token-a")
    peer.send_bytes(b"\x01\x01" + bombs()[name])
    code, sentence = await peer.refused()
    assert code in (400, 413)
    assert "compressed message" in sentence
    await still_serves(target, say)


async def test_a_frame_that_comes_drop_by_drop_holds_up_nobody(target: Target, say: Any) -> None:
    peer, _ = await target.joined("token-a")
    below = peer.transport.underlying_transport
    below.write(b"\x82\xfe\xff\xff" + b"mask")
    for _ in range(50):
        below.write(b"x")
    await still_serves(target, say)
    (session,) = [each for each in target.server.open if each.pod_uid == "uid-a"]
    now = target.server.clock()
    assert session.overdue(now + 119.0, 0.0) is None
    assert session.overdue(now + 121.0, 0.0) == (408, "nothing came for 120 s", "silent")


@pytest.mark.parametrize("frame", [b"\x82\x02ab", b"\xf2\x82mask12", b"\x83\x82mask12"])
async def test_frames_that_break_websocket_end_only_their_own_stream(frame: bytes, target: Target, say: Any) -> None:
    """Not masked, with reserved bits, of an unknown kind."""
    peer, _ = await target.joined("token-a")
    peer.transport.underlying_transport.write(frame)
    peer.send(say.report())
    await still_serves(target, say)
    assert target.held() < 100.0


async def test_text_and_pieces_are_no_messages(target: Target) -> None:
    peer, _ = await target.joined("token-a")
    peer.transport.send(WSMsgType.TEXT, b"hello")
    assert await peer.refused() == (400, "a message is one binary frame, not text and not in pieces")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), -1.0, 1e308, 1e13])
@pytest.mark.parametrize("field", ["offered", "backlog", "window_seconds"])
async def test_numbers_that_no_window_can_hold_are_refused(value: float, field: str, target: Target, say: Any) -> None:
    peer, _ = await target.joined("token-a")
    peer.send(say.report(**{field: value}))
    code, sentence = await peer.refused()
    assert (code, f"entries[0].{field}" in sentence) == (400, True)
    assert target.count("frames_refused", code="400") == 1.0
    peer.send(say.report(2, offered=50.0))
    assert (await peer.answered(2)).fill_rate > 0.0
    figures = target.server.controller.figures(target.server.clock())["shop/llm"]
    numbers = [each for each in msgspec.structs.astuple(figures) if isinstance(each, (int, float))]
    assert all(number == number and abs(number) < 1e6 for number in numbers)


async def test_the_largest_numbers_allowed_cost_others_nothing(target: Target, say: Any) -> None:
    victim, _ = await target.joined("token-b")
    victim.send(say.report(offered=100.0))
    await victim.assigned()
    thief, _ = await target.joined("token-a")
    most = messages.Forecast(1e12, 1e12, 1e12, 1e12)
    thief.send(say.report(offered=1e12, backlog=1e12, admitted=0.0, forecasts=[most] * 12))
    await thief.assigned()
    victim.send(say.report(2, offered=100.0))
    assert (await victim.assigned()).fill_rate > 0.0
    assert target.held() <= 100.0 * 1.000001


async def test_more_policies_than_a_pod_can_have_are_refused(target: Target, say: Any) -> None:
    peer, _ = await target.joined("token-a")
    (entry,) = say.report().entries
    peer.send(messages.Report(sequence=1, entries=[entry] * 17))
    code, sentence = await peer.refused()
    assert (code, "`$.entries`" in sentence) == (400, True)
    peer.send(messages.Report(sequence=1, entries=[entry] * 16))
    answers = [await peer.assigned() for _ in range(16)]
    assert {each.answers for each in answers} == {1}
    assert target.held() <= 100.0 * 1.000001


async def test_a_flood_of_messages_is_throttled_and_others_are_not(target: Target, say: Any) -> None:
    """10,000 reports a second are one 429 and fifty answers a second; the rest waits in the attacker's own socket."""
    flooder, _ = await target.joined("token-a")
    victim, _ = await target.joined("token-b")
    for sequence in range(1, 10_001):
        flooder.send(say.report(sequence))
    for sequence in range(1, 11):
        victim.send(say.report(sequence))
        await victim.answered(sequence)
    answers = []
    async with asyncio.timeout(20.0):
        while not answers or not isinstance(answers[-1], messages.Refused):
            answers.append(await flooder.received.get())
    sentence = f"more than {MESSAGES_PER_SECOND} messages came within a second"
    assert answers[-1] == messages.Refused(code=429, sentence=sentence, retry_after_seconds=1.0)
    assert target.count("messages", type="report") <= 3 * MESSAGES_PER_SECOND + 10
    assert not flooder.closed.is_set()


async def test_a_flood_without_end_ends_the_stream(target: Target, say: Any) -> None:
    flooder, _ = await target.joined("token-a")
    frame = codec.encode(say.report())
    async with asyncio.timeout(FLOODED_SECONDS + 30.0):
        while not flooder.closed.is_set():
            for _ in range(2 * MESSAGES_PER_SECOND):
                flooder.send_bytes(frame)
            await asyncio.sleep(0.2)
    assert target.count("streams_ended", reason="flood") == 1.0
    assert target.count("messages", type="report") <= (FLOODED_SECONDS + 2) * MESSAGES_PER_SECOND


async def test_a_stream_that_never_says_hello_ends(target: Target) -> None:
    await target.connect("token-a")
    (session,) = target.server.open
    assert session.overdue(target.server.clock() + 11.0, 0.0) == (408, "no hello came within 10 s", "silent")


@pytest.fixture
async def claim(target: Target) -> Any:
    """What pod a holds when the operator is gone, and pod b's ticket."""
    _, granted = await target.joined("token-a")
    _, others = await target.joined("token-b")
    await target.stop()
    holding = messages.Holding(
        policy="shop/llm",
        policy_uid="uid-of-llm",
        policy_generation=1,
        grant_sequence=granted.grant_sequence,
        fill_rate=granted.fill_rate,
        safe_rate=granted.safe_rate,
        seconds_left=10.0,
        ticket=granted.ticket,
    )
    return holding, others.ticket


LIES: dict[str, tuple[str, Any]] = {
    "no ticket": ("forged", lambda claim, others: {"ticket": b""}),
    "a forged ticket": ("forged", lambda claim, others: {"ticket": claim.ticket[:-1] + bytes((claim.ticket[-1] ^ 1,))}),
    "another pod's ticket": ("other_pod", lambda claim, others: {"ticket": others}),
    "an earlier grant's number": ("other_grant", lambda claim, others: {"grant_sequence": 0}),
}


@pytest.mark.parametrize("name", LIES)
async def test_an_operator_that_just_started_believes_no_claim_without_its_ticket(
    name: str, claim: Any, target: Target, say: Any
) -> None:
    """Whoever lies is counted at a safe share at most, and takes nothing of what others may hold."""
    result, change = LIES[name]
    holding = msgspec.structs.replace(claim[0], fill_rate=100.0, **change(*claim))
    await target.start(first_start=False)
    liar = await target.connect("token-a")
    liar.send(say.hello(holding))
    await liar.assigned()
    figures = target.server.controller.figures(target.server.clock())["shop/llm"]
    assert (figures.unknown, figures.held - figures.unknown) == (100.0, pytest.approx(50.0))
    if holding.grant_sequence:
        assert target.count("tickets", use="proves", result=result) == 1.0


async def test_a_ticket_of_a_lease_that_is_over_proves_nothing(claim: Any, target: Target, say: Any) -> None:
    await target.start(first_start=False)
    target.ahead = 120.0
    liar = await target.connect("token-a")
    liar.send(say.hello(claim[0]))
    await liar.assigned()
    assert target.count("tickets", use="proves", result="stale") == 1.0
    assert target.server.controller.figures(target.server.clock())["shop/llm"].unknown == 100.0


async def test_a_ticket_of_another_policy_proves_nothing(claim: Any, target: Target, say: Any) -> None:
    await target.start(first_start=False, policies=[say.manifest(), say.manifest("second")])
    liar = await target.connect("token-a")
    liar.send(say.hello(msgspec.structs.replace(claim[0], policy="shop/second", policy_uid="uid-of-second")))
    await liar.assigned()
    assert target.count("tickets", use="proves", result="other_policy") == 1.0


async def test_a_claim_is_believed_as_far_as_its_ticket_proves_it(claim: Any, target: Target, say: Any) -> None:
    granted = claim[0].fill_rate
    await target.start(first_start=False)
    peer = await target.connect("token-a")
    peer.send(say.hello(msgspec.structs.replace(claim[0], fill_rate=100.0)))
    await peer.assigned()
    figures = target.server.controller.figures(target.server.clock())["shop/llm"]
    assert figures.unknown == pytest.approx(100.0 - granted)
    assert target.count("tickets", use="proves", result="good") == 1.0
