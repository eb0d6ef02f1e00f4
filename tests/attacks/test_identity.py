"""Attempts to be somebody else, or to stay somebody for too long."""

import asyncio
import base64
import logging
from typing import Any

import msgspec
import pytest
from picows import WSHandshakeError

from forefill_operator import tickets
from forefill_operator.client import Client
from forefill_operator.door import Admitted, Presented
from forefill_operator.tickets import LIFE_SECONDS, SKEW_SECONDS
from forefill_protocol import codec, messages

Target = Any


async def status(attempt: Any) -> int:
    with pytest.raises(WSHandshakeError) as caught:
        await attempt
    assert caught.value.response is not None
    return int(caught.value.response.status)


async def test_a_token_that_nobody_issued_opens_nothing(target: Target) -> None:
    for token in ("", "token-", "token-a-and-more", "token-A", "x" * 8000):
        assert await status(target.connect(token)) == 401
    assert target.count("upgrades_rejected", code="401") == 5.0
    assert target.count("token_reviews", result="refused") == 4.0


async def test_two_tokens_in_one_request_open_nothing(target: Target) -> None:
    attempt = target.connect("token-a", authorization="Bearer token-b")
    assert await status(attempt) == 401


@pytest.fixture
async def ticket(target: Target) -> bytes:
    """Pod a's newest ticket, whose stream has ended since."""
    peer, assignment = await target.joined()
    peer.transport.disconnect()
    await target.until(lambda: not target.server.open)
    return assignment.ticket


@pytest.fixture
def away(ticket: bytes, target: Target) -> None:
    """Since the ticket was given nobody can be asked about tokens."""
    (target.folder / "tokens.csv").unlink()


@pytest.mark.usefixtures("away")
async def test_without_a_ticket_nothing_opens_while_nobody_can_be_asked(ticket: bytes, target: Target) -> None:
    assert await status(target.connect("token-a")) == 503
    peer = await target.connect("token-a", [ticket])
    assert not peer.closed.is_set()
    peer.transport.disconnect()


@pytest.mark.usefixtures("away")
async def test_a_forged_ticket_opens_nothing(ticket: bytes, target: Target) -> None:
    own = tickets.seal(tickets.unseal(ticket, target.keys), tickets.make_key(0.0))
    flipped = ticket[:-1] + bytes((ticket[-1] ^ 1,))
    assert await status(target.connect("token-a", [own, flipped, b"", b"\x01" * 512, b"\x01" * 600])) == 503
    assert target.count("tickets", use="opens", result="forged") == 5.0


@pytest.mark.usefixtures("away")
async def test_a_stolen_ticket_opens_nothing_without_its_token(ticket: bytes, target: Target) -> None:
    for token in ("token-thief", "token-b", "anything"):
        assert await status(target.connect(token, [ticket])) == 503
    assert target.count("tickets", use="opens", result="other_token") == 3.0


@pytest.mark.usefixtures("away")
async def test_a_stale_ticket_opens_nothing(ticket: bytes, target: Target) -> None:
    target.ahead = LIFE_SECONDS + 1.0
    assert await status(target.connect("token-a", [ticket])) == 503
    target.ahead = -SKEW_SECONDS - 2.0
    assert await status(target.connect("token-a", [ticket])) == 503
    assert target.count("tickets", use="opens", result="stale") == 2.0


@pytest.mark.usefixtures("away")
async def test_tickets_of_tickets_last_no_longer_than_the_first(ticket: bytes, target: Target, say: Any) -> None:
    target.ahead = LIFE_SECONDS / 2
    peer = await target.connect("token-a", [ticket])
    peer.send(say.hello(messages.Holding(policy="shop/llm")))
    second = (await peer.assigned()).ticket
    target.ahead = LIFE_SECONDS - 5.0
    again = await target.connect("token-a", [second])
    target.ahead = LIFE_SECONDS + 1.0
    assert await status(target.connect("token-a", [second])) == 503
    target.server.sweep()
    assert await again.refused() == (503, "the API server could not be asked about the token in time")
    await asyncio.wait_for(again.closed.wait(), 20.0)
    assert target.count("streams_ended", reason="unreviewed") == 2.0


async def test_a_stream_on_a_ticket_ends_when_its_token_turns_out_to_be_revoked(ticket: bytes, target: Target) -> None:
    (target.folder / "tokens.csv").write_text("token-b,pod-b,uid-b,shop\n")
    peer = await target.connect("token-a", [ticket])
    assert (await peer.refused())[0] == 401
    await asyncio.wait_for(peer.closed.wait(), 20.0)
    assert target.count("streams_ended", reason="refused") == 1.0


async def test_a_token_of_another_pod_does_not_renew_a_stream(target: Target) -> None:
    peer, _ = await target.joined("token-a")
    peer.send(messages.Renew(token="token-b"))
    assert await peer.refused() == (403, "the renewed token is another pod's")
    await asyncio.wait_for(peer.closed.wait(), 20.0)


async def test_a_token_that_nobody_issued_does_not_renew_a_stream(target: Target) -> None:
    peer, _ = await target.joined("token-a")
    for _ in range(30):
        peer.send(messages.Renew(token="guess"))
    assert (await peer.refused())[0] == 401
    await asyncio.wait_for(peer.closed.wait(), 20.0)
    assert target.count("token_reviews", result="refused") == 1.0


async def test_a_stream_ends_with_its_token(target: Target) -> None:
    peer, _ = await target.joined("token-a")
    (session,) = target.server.open
    session.admitted.expires_at = target.server.wall_clock() - 1.0
    target.server.sweep()
    assert await peer.refused() == (401, "the token has ended and was not renewed")
    await asyncio.wait_for(peer.closed.wait(), 20.0)
    assert target.count("streams_ended", reason="expired") == 1.0


async def test_no_token_and_no_ticket_is_in_the_logs_of_a_run(
    target: Target, say: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """At the lowest level, over streams that are refused, opened, renewed and ended."""
    caplog.set_level(logging.DEBUG)
    secret = "token-that-nobody-issued"
    assert await status(target.connect(secret)) == 401
    peer, assignment = await target.joined("token-a")
    peer.send(messages.Renew(token="token-b"))
    await peer.refused()
    again = await target.connect("token-b", [assignment.ticket])
    again.send_bytes(b"\x01\x00" + secret.encode())
    again.send(say.hello(messages.Holding(policy="shop/llm", ticket=assignment.ticket, grant_sequence=1)))
    again.send(messages.Renew(token=secret))
    await asyncio.wait_for(again.closed.wait(), 20.0)
    ticket = base64.urlsafe_b64encode(assignment.ticket).decode().rstrip("=")
    for record in caplog.records:
        if record.name.startswith(("forefill", "picows.server", "aiofastnet")):
            text = f"{record.getMessage()} {record.__dict__}"
            for shown in (secret, "token-a", "token-b", ticket, repr(assignment.ticket)):
                assert shown not in text


def test_what_holds_a_token_does_not_print_it() -> None:
    client = Client("shop", "web", "web-0", "uid")
    for holder in (Presented("secret", [b"secret"]), Admitted(client, b"secret", 0.0, "secret")):
        assert "secret" not in repr(holder)


async def test_what_a_message_says_of_who_sent_it_is_not_heard(target: Target, say: Any) -> None:
    """The confused deputy: fields that name another pod are unknown fields."""
    victim, before = await target.joined("token-b")
    thief = await target.connect("token-a")
    body = msgspec.msgpack.decode(codec.encode(say.hello(messages.Holding(policy="shop/llm")))[2:])
    body |= {"pod_uid": "uid-b", "namespace": "elsewhere", "client": {"pod_uid": "uid-b"}}
    thief.send_bytes(b"\x01\x00" + msgspec.msgpack.encode(body))
    await thief.assigned()
    thief.send(messages.Ack(policy="shop/llm", grant_sequence=before.grant_sequence + 1, policy_generation=1))
    thief.send(messages.Goodbye(reason="the pod ends"))
    await target.until(lambda: "uid-a" not in target.server.controller.books["shop/llm"].members)
    assert "uid-b" in target.server.controller.books["shop/llm"].members
    assert not victim.closed.is_set()


@pytest.mark.parametrize("message", ["hello", "report"])
async def test_a_policy_of_another_namespace_gives_nothing(message: str, target: Target, say: Any) -> None:
    peer, _ = await target.joined("token-a")
    if message == "report":
        peer.send(say.report(policy="elsewhere/other"))
    else:
        peer.transport.disconnect()
        peer = await target.connect("token-a")
        peer.send(say.hello(messages.Holding(policy="elsewhere/other", policy_uid="uid-of-other")))
    assert await peer.refused() == (403, "TokenPolicy elsewhere/other does not admit pod shop/pod-a")
    assert target.held("elsewhere/other") == 0.0
    assert target.count("entries_refused", code="403") == 1.0


async def test_of_many_streams_of_one_pod_only_a_few_open_and_one_counts(target: Target, say: Any) -> None:
    peers = [await target.connect("token-a") for _ in range(4)]
    assert await status(target.connect("token-a")) == 429
    for peer in peers:
        peer.send(say.hello(messages.Holding(policy="shop/llm")))
        await peer.assigned()
    for peer in peers[:-1]:
        await asyncio.wait_for(peer.closed.wait(), 20.0)
    assert list(target.server.sessions) == ["uid-a"]
    assert len(target.server.controller.books["shop/llm"].members) == 1
