import asyncio
import contextlib
import datetime
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec.structs import replace
from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from forefill_protocol import bundle, codec, messages
from forefill_sidecar.authorities import Authorities
from forefill_sidecar.reporter import MAX_BACKOFF_SECONDS, PROVEN_SECONDS, Backoff, Operator, Reporter

HELLO = messages.Hello(protocol=1, boot_id="boot", software="test", holdings=[])
REPORT = messages.Report(sequence=1, entries=[])
ASSIGNMENT = messages.Assignment(
    policy="ai/llm",
    policy_uid="u",
    policy_generation=2,
    grant_sequence=5,
    answers=0,
    fill_rate=14.0,
    burst=42.0,
    safe_rate=3.0,
    next_report_seconds=10.0,
    rate_seconds=12.0,
    lease_seconds=30.0,
    mode="Enforce",
)
REFUSED = messages.Refused(code=404, sentence="there is no TokenPolicy ns/llm", policy="ns/llm")


def make_certificate(folder: Path) -> None:
    """A certificate for localhost that signs itself, as localhost.pem with its key and as ca.pem without."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.pem").write_bytes(certificate)
    (folder / "localhost.pem").write_bytes(certificate + secret)


@dataclass
class Server:
    """A WebSocket server under TLS that keeps what it got; `accepts` says which tokens it lets in."""

    accepts: set[str] = field(default_factory=lambda: {"Bearer first"})
    tokens: list[str] = field(default_factory=list)
    tickets: list[str] = field(default_factory=list)
    received: "asyncio.Queue[messages.Up]" = field(default_factory=asyncio.Queue)
    streams: list[WSTransport] = field(default_factory=list)

    def upgrade(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        self.tokens.append(request.headers["Authorization"])
        self.tickets.append(request.headers.get("Forefill-Ticket", ""))
        if self.tokens[-1] in self.accepts:
            return Serving(self)
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(401, b"no"), None)

    async def next(self) -> messages.Up:
        return await asyncio.wait_for(self.received.get(), 5.0)

    def send(self, data: bytes) -> None:
        self.streams[-1].send(WSMsgType.BINARY, data)


class Serving(WSListener):
    def __init__(self, server: Server) -> None:
        self.server = server

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.server.streams.append(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif frame.msg_type is WSMsgType.BINARY:
            self.server.received.put_nowait(codec.decode_up(frame.get_payload_as_bytes()))


@dataclass
class Running:
    server: Server
    reporter: Reporter
    token_file: Path
    answers: list[messages.Down]
    events: Counter[str]
    tickets: list[bytes] = field(default_factory=list)

    @property
    def hello(self) -> messages.Hello:
        """As it is sent: it names the authorities that the sidecar trusts."""
        return replace(HELLO, ca_fingerprint=self.reporter._authorities.fingerprint)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    """A reporter that begins to connect as soon as the test waits."""
    await asyncio.to_thread(make_certificate, tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "localhost.pem")
    server, answers, events = Server(), list[messages.Down](), Counter[str]()
    listening = await ws_create_server(server.upgrade, "127.0.0.1", 0, ssl=context)
    token_file = tmp_path / "token"
    token_file.write_text("first\n")
    url = f"wss://localhost:{listening.sockets[0].getsockname()[1]}{messages.STREAM_PATH}"
    operator = Operator(url, (tmp_path / "ca.pem").read_text(), token_file)
    tickets: list[bytes] = []
    reporter = Reporter(
        operator,
        lambda: HELLO,
        answers.append,
        lambda event: events.update([event]),
        token_check_seconds=0.02,
        tickets=lambda: tickets,
        folder=tmp_path,
    )
    task = asyncio.create_task(reporter.run())
    try:
        yield Running(server, reporter, token_file, answers, events, tickets)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        for transport in server.streams:
            transport.disconnect(False)
        listening.close()
        await listening.wait_closed()
        # Closed transports are let go by the loop's next turns.
        await asyncio.sleep(0.05)


async def test_a_stream_begins_with_a_hello_under_the_token(running: Running) -> None:
    assert await running.server.next() == running.hello
    assert running.server.tokens == ["Bearer first"]
    assert running.reporter.connected
    assert running.events == {"connected": 1}


async def test_messages_travel_both_ways(running: Running, net: Any) -> None:
    await running.server.next()
    assert running.reporter.send(REPORT)
    assert await running.server.next() == REPORT
    running.server.send(codec.encode(REFUSED))
    await net.until(lambda: running.answers == [REFUSED])


async def test_without_a_stream_nothing_is_kept_for_later(running: Running) -> None:
    assert not running.reporter.connected
    assert not running.reporter.send(REPORT)
    assert await running.server.next() == running.hello
    assert running.server.received.empty()


async def test_a_stream_that_ended_is_opened_again_with_a_hello(running: Running) -> None:
    await running.server.next()
    running.server.streams[0].disconnect()
    assert await running.server.next() == running.hello
    assert running.events["connected"] == 2


async def test_a_frame_that_is_no_message_is_counted_and_the_stream_goes_on(running: Running, net: Any) -> None:
    await running.server.next()
    running.server.send(b"\x01\x00garbage")
    running.server.send(codec.encode(REFUSED))
    await net.until(lambda: running.answers == [REFUSED])
    assert running.events == {"connected": 1, "bad_frame": 1}


async def test_a_rotated_token_renews_the_stream(running: Running) -> None:
    await running.server.next()
    running.token_file.write_text("second\n")
    assert await running.server.next() == messages.Renew(token="second")
    assert running.events == {"connected": 1}


async def test_a_token_file_that_cannot_be_read_for_a_while_does_not_end_the_renewing(running: Running) -> None:
    await running.server.next()
    running.token_file.write_bytes(b"\xff")
    await asyncio.sleep(0.1)
    running.token_file.unlink()
    await asyncio.sleep(0.1)
    running.token_file.write_text("second")
    assert await running.server.next() == messages.Renew(token="second")


async def test_a_token_that_is_not_accepted_is_read_again(running: Running, net: Any) -> None:
    running.server.accepts = {"Bearer second"}
    await net.until(lambda: running.server.tokens != [])
    running.token_file.write_text("second")
    assert await running.server.next() == running.hello
    assert running.server.tokens[0] == "Bearer first"
    assert running.server.tokens[-1] == "Bearer second"
    assert running.events["connected"] == 1


async def test_closing_says_goodbye_and_ends_the_stream(running: Running) -> None:
    await running.server.next()
    goodbye = messages.Goodbye(reason="the pod ends")
    await running.reporter.close(goodbye)
    assert await running.server.next() == goodbye
    assert not running.reporter.connected


async def test_a_server_of_another_authority_gets_nothing(running: Running, tmp_path: Path, net: Any) -> None:
    await running.server.next()
    other = tmp_path / "other"
    other.mkdir()
    make_certificate(other)
    events = Counter[str]()
    operator = Operator(running.reporter._operator.url, (other / "ca.pem").read_text(), running.token_file)
    stranger = Reporter(operator, lambda: HELLO, running.answers.append, lambda event: events.update([event]))
    task = asyncio.create_task(stranger.run())
    await net.until(lambda: events["connect_failed"] > 0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert running.server.tokens == ["Bearer first"]


async def test_an_upgrade_shows_the_newest_tickets(running: Running) -> None:
    running.tickets[:] = [b"\xff\xfe", b"", b"abc"]
    await running.server.next()
    assert running.server.tickets == ["__4, YWJj"]


async def test_new_authorities_are_acknowledged_kept_and_trusted_by_the_next_connection(
    running: Running, tmp_path: Path, net: Any
) -> None:
    await running.server.next()
    before = running.reporter._authorities.fingerprint
    other = tmp_path / "other"
    other.mkdir()
    await asyncio.to_thread(make_certificate, other)
    both = (tmp_path / "ca.pem").read_text() + (other / "ca.pem").read_text()
    running.server.send(codec.encode(replace(ASSIGNMENT, ca_bundle=both)))
    await net.until(lambda: running.answers != [])
    ack = messages.Ack(policy="ai/llm", grant_sequence=5, policy_generation=2)
    running.reporter.send(ack)
    assert await running.server.next() == replace(ack, ca_fingerprint=bundle.fingerprint(both))
    running.server.streams[0].disconnect()
    assert await running.server.next() == replace(HELLO, ca_fingerprint=bundle.fingerprint(both))
    assert running.events == {"connected": 2}
    restarted = Authorities((tmp_path / "ca.pem").read_text(), tmp_path)
    assert before != restarted.fingerprint == bundle.fingerprint(both)


async def test_authorities_that_can_not_be_read_change_nothing(running: Running, net: Any) -> None:
    await running.server.next()
    running.server.send(codec.encode(replace(ASSIGNMENT, ca_bundle="nothing")))
    await net.until(lambda: running.answers != [])
    running.server.streams[0].disconnect()
    assert await running.server.next() == running.hello
    assert running.hello.ca_fingerprint == bundle.fingerprint(running.reporter._operator.ca_bundle)


def test_a_bundle_without_a_certificate_is_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="the CA bundle can't be read"):
        Operator("wss://localhost", "no certificate", Path("token")).context()


def test_pauses_grow_with_each_failure_up_to_a_bound() -> None:
    backoff = Backoff()
    assert [backoff.after("failed", 0.0) for _ in range(8)] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_stream_that_is_dropped_at_once_counts_as_a_failure() -> None:
    backoff = Backoff()
    assert [backoff.after("served", 0.01) for _ in range(3)] == [1.0, 2.0, 4.0]


def test_a_stream_that_lived_begins_the_pauses_anew() -> None:
    backoff = Backoff(failures=9)
    assert backoff.after("served", PROVEN_SECONDS) == 0.5
    assert backoff.after("failed", 0.0) == 1.0


def test_only_the_first_of_several_unauthorized_attempts_is_repeated_at_once() -> None:
    backoff = Backoff()
    assert [backoff.after("unauthorized", 0.0) for _ in range(3)] == [0.0, 2.0, 4.0]
    assert backoff.after("failed", 0.0) == 8.0
    assert backoff.after("unauthorized", 0.0) == 0.0


def test_the_longest_outage_does_not_overflow() -> None:
    assert Backoff(failures=10**6).after("failed", 0.0) == MAX_BACKOFF_SECONDS


def test_whoever_can_comes_back_within_a_lease() -> None:
    assert Backoff(failures=10).after("failed", 0.0, lease_seconds=12.0) == 4.0
    assert Backoff(failures=10).after("failed", 0.0, lease_seconds=600.0) == MAX_BACKOFF_SECONDS
