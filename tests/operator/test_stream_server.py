import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from picows import WSHandshakeError, WSMsgType, ws_connect
from tests import serving
from tests.peer import Peer

from forefill_operator.metrics import Metrics
from forefill_operator.stream_server import CLOSE_AFTER_BAD_FRAMES, MESSAGES_PER_SECOND, StreamServer
from forefill_protocol import codec, messages

TOKENS = "token-a,pod-a,uid-a\ntoken-b,pod-b,uid-b\n"
ENTRY = messages.PolicyReport(
    policy="default/llm",
    window_seconds=10.0,
    offered=50.0,
    admitted=50.0,
    refused=0.0,
    backlog=0.0,
    requests=50,
    forecasts=[messages.Forecast(mean=5.0, p50=5.0, p90=6.0, p95=7.0)],
)


@dataclass
class Running:
    server: StreamServer
    metrics: Metrics
    port: int
    context: ssl.SSLContext

    async def connect(self, token: str = "token-a", path: str = messages.STREAM_PATH) -> Peer:
        peer = Peer()
        await ws_connect(
            lambda: peer,
            f"wss://localhost:{self.port}{path}",
            ssl_context=self.context,
            extra_headers={"Authorization": f"Bearer {token}"} if token else {},
        )
        return peer

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"forefill_operator_{name}_total", labels) or 0.0


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text(TOKENS)
    context, trusting = serving.contexts(tmp_path)
    server = serving.server_of(tokens, serving.manifest(generation=3))
    port = await server.start("127.0.0.1", 0, context)
    yield Running(server, server.metrics, port, trusting)
    await server.close("the test ends")


def hello() -> messages.Hello:
    holding = messages.Holding(policy="default/llm")
    return messages.Hello(protocol=1, boot_id="boot", software="test", holdings=[holding])


async def test_hello_and_report_are_answered_with_assignments(running: Running) -> None:
    peer = await running.connect()
    peer.send(hello())
    first = await peer.next()
    assert isinstance(first, messages.Assignment)
    assert (first.policy, first.policy_uid, first.policy_generation, first.answers) == (
        "default/llm",
        "uid-of-llm",
        3,
        0,
    )
    assert first.settings is not None
    peer.send(messages.Report(sequence=1, entries=[ENTRY]))
    second = await peer.next()
    assert isinstance(second, messages.Assignment)
    assert (second.answers, second.grant_sequence) == (1, first.grant_sequence + 1)
    assert running.count("messages", type="report") == 1.0


@pytest.mark.parametrize("token", ["", "token-c", "token-", "token-a-and-more"])
async def test_a_bad_token_is_refused_401_at_the_upgrade(running: Running, token: str) -> None:
    with pytest.raises(WSHandshakeError) as caught:
        await running.connect(token)
    assert caught.value.response is not None
    assert caught.value.response.status == 401
    assert running.count("upgrades_rejected", code="401") == 1.0


async def test_another_path_is_refused_404(running: Running) -> None:
    with pytest.raises(WSHandshakeError) as caught:
        await running.connect(path="/elsewhere")
    assert caught.value.response is not None
    assert caught.value.response.status == 404


async def test_an_unknown_policy_is_refused_404_with_a_sentence(running: Running) -> None:
    peer = await running.connect()
    peer.send(messages.Hello(protocol=1, boot_id="b", software="t", holdings=[messages.Holding(policy="default/none")]))
    refused = await peer.next()
    assert isinstance(refused, messages.Refused)
    assert (refused.code, refused.policy) == (404, "default/none")
    assert refused.sentence == "there is no TokenPolicy default/none"
    assert running.count("entries_refused", code="404") == 1.0


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x01\x00nonsense", 400),
        (b"\x09\x00\x80", 505),
        (b"\x01\x00" + bytes(codec.MAX_FRAME_BYTES), 413),
    ],
)
async def test_a_bad_frame_gets_refused_and_the_stream_goes_on(running: Running, frame: bytes, code: int) -> None:
    peer, other = await running.connect("token-a"), await running.connect("token-b")
    other.send(hello())
    before = await other.next()
    peer.send_bytes(frame)
    refused = await peer.next()
    assert isinstance(refused, messages.Refused)
    assert refused.code == code
    assert running.count("frames_refused", code=str(code)) == 1.0
    peer.send(hello())
    assert isinstance(await peer.next(), messages.Assignment)
    other.send(messages.Report(sequence=1, entries=[ENTRY]))
    after = await other.next()
    assert isinstance(before, messages.Assignment)
    assert isinstance(after, messages.Assignment)
    assert not other.closed.is_set()


async def test_text_and_fragments_are_no_messages(running: Running) -> None:
    peer = await running.connect()
    peer.transport.send(WSMsgType.TEXT, b"hello")
    refused = await peer.next()
    assert isinstance(refused, messages.Refused)
    assert refused.code == 400


async def test_a_peer_that_keeps_sending_nonsense_is_closed(running: Running) -> None:
    peer = await running.connect()
    for _ in range(CLOSE_AFTER_BAD_FRAMES + 1):
        peer.send_bytes(b"nonsense")
    await asyncio.wait_for(peer.closed.wait(), 5.0)


async def test_a_frame_far_beyond_the_bound_closes_only_its_own_stream(running: Running) -> None:
    peer, other = await running.connect("token-a"), await running.connect("token-b")
    peer.send_bytes(bytes(8 * codec.MAX_FRAME_BYTES))
    await asyncio.wait_for(peer.closed.wait(), 5.0)
    other.send(hello())
    assert isinstance(await other.next(), messages.Assignment)


async def test_a_stream_begins_with_its_one_hello(running: Running) -> None:
    peer = await running.connect()
    peer.send(messages.Report(sequence=1, entries=[ENTRY]))
    peer.send(hello())
    peer.send(hello())
    early, assignment, again = [await peer.next() for _ in range(3)]
    assert isinstance(assignment, messages.Assignment)
    for refused in (early, again):
        assert isinstance(refused, messages.Refused)
        assert (refused.code, refused.sentence) == (400, "a stream begins with its one hello")


async def test_more_messages_than_any_sidecar_sends_are_refused_429(running: Running) -> None:
    peer = await running.connect()
    peer.send(hello())
    await peer.next()
    ack = messages.Ack(policy="default/llm", grant_sequence=1, policy_generation=1)
    for _ in range(3 * MESSAGES_PER_SECOND):
        peer.send(ack)
    refused = await peer.next()
    assert isinstance(refused, messages.Refused)
    assert refused.code == 429


async def test_a_second_stream_of_the_same_pod_replaces_the_first(running: Running) -> None:
    first, second = await running.connect(), await running.connect()
    first.send(hello())
    assert isinstance(await first.next(), messages.Assignment)
    second.send(hello())
    await asyncio.wait_for(first.closed.wait(), 5.0)
    assert isinstance(await second.next(), messages.Assignment)
    assert list(running.server.sessions) == ["uid-a"]


async def test_a_renewed_token_of_another_pod_ends_the_stream(running: Running) -> None:
    peer = await running.connect("token-a")
    peer.send(hello())
    await peer.next()
    peer.send(messages.Renew(token="token-a"))
    peer.send(messages.Renew(token="token-b"))
    refused = await peer.next()
    assert isinstance(refused, messages.Refused)
    assert (refused.code, refused.sentence) == (403, "the renewed token is another pod's")
    await asyncio.wait_for(peer.closed.wait(), 5.0)


async def test_goodbye_frees_the_grant_at_once(running: Running) -> None:
    peer = await running.connect()
    peer.send(hello())
    await peer.next()
    assert running.server.controller.figures(time.monotonic())["default/llm"].held > 0.0
    peer.send(messages.Goodbye(reason="the pod ends"))
    peer.send(messages.Ack(policy="default/none", grant_sequence=1, policy_generation=1))
    async with asyncio.timeout(5.0):
        while running.server.controller.figures(time.monotonic())["default/llm"].held > 0.0:
            await asyncio.sleep(0.01)


async def test_tls_older_than_1_3_is_not_spoken(running: Running) -> None:
    running.context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, OSError)):
        await running.connect()


async def test_a_head_that_never_ends_is_cut_off(running: Running) -> None:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", running.port, ssl=running.context, server_hostname="localhost"
    )
    writer.write(b"GET /v1/stream HTTP/1.1\r\n" + b"X-Filler: " + b"a" * 20_000)
    answer = await asyncio.wait_for(reader.read(), 5.0)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request")
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()


async def test_stopping_says_bye_to_every_stream(running: Running) -> None:
    peers = [await running.connect("token-a"), await running.connect("token-b")]
    for peer in peers:
        peer.send(hello())
        await peer.next()
    await running.server.close("the operator stops")
    for peer in peers:
        bye = await peer.next()
        assert isinstance(bye, messages.Bye)
        assert bye.reason == "the operator stops"
        await asyncio.wait_for(peer.closed.wait(), 5.0)
