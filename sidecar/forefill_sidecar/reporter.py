"""The stream to the operator: one WebSocket, opened again with jitter whenever it ends."""

import asyncio
import base64
import logging
import random
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Literal

from msgspec.structs import replace
from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from forefill_protocol import codec, messages
from forefill_sidecar import authorities
from forefill_sidecar.authorities import Authorities

FIRST_BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 30.0
# An operator that starts reserves what it does not know of for one lease: whoever can must have come back by then.
BACKOFF_LEASE_PART = 1 / 3
CONNECT_SECONDS = 10.0
PING_AFTER_IDLE_SECONDS = 15.0
TOKEN_CHECK_SECONDS = 30.0
# A stream that ends sooner says as little of the operator as a failed attempt: it may accept and drop everybody.
PROVEN_SECONDS = 5.0

Outcome = Literal["served", "unauthorized", "failed"]

_log = logging.getLogger("forefill.reporter")
logging.getLogger("picows.client").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Operator:
    """Where the operator is and how to know it: the wss:// URL of its stream, its authority in PEM, our token."""

    url: str
    ca_bundle: str
    token_file: Path

    def context(self) -> ssl.SSLContext:
        """TLS 1.3 that trusts only the given bundle. Raises ValueError when the bundle holds no certificate."""
        return authorities.context(self.ca_bundle)


@dataclass(slots=True)
class Backoff:
    """How long to wait between two streams. Pure."""

    failures: int = 0
    last: Outcome = "served"

    def after(self, outcome: Outcome, lived_seconds: float, lease_seconds: float = inf) -> float:
        """The longest pause after a stream that lived so long. The first 401 in a row has none: tokens rotate."""
        before, self.last = self.last, outcome
        self.failures = 0 if lived_seconds >= PROVEN_SECONDS else self.failures + 1
        if outcome == "unauthorized" and before != "unauthorized":
            return 0.0
        longest = min(MAX_BACKOFF_SECONDS, BACKOFF_LEASE_PART * lease_seconds)
        return min(longest, FIRST_BACKOFF_SECONDS * float(2 ** min(self.failures, 16)))


class Reporter:
    """Keeps one stream open. `hello` makes the first message of each stream, `receive` takes every answer and push.

    `tickets` are the newest ones, `folder` keeps the authorities that assignments bring, and `lease_seconds` is the
    shortest lease of the pod's policies.
    """

    def __init__(
        self,
        operator: Operator,
        hello: Callable[[], messages.Hello],
        receive: Callable[[messages.Down], None],
        count: Callable[[str], None],
        token_check_seconds: float = TOKEN_CHECK_SECONDS,
        tickets: Callable[[], Sequence[bytes]] = lambda: (),
        folder: Path | None = None,
        lease_seconds: Callable[[], float] = lambda: inf,
    ) -> None:
        self._operator = operator
        self._hello = hello
        self._receive = receive
        self._count = count
        self._token_check_seconds = token_check_seconds
        self._tickets = tickets
        self._folder = folder
        self._lease_seconds = lease_seconds
        self._authorities: Authorities
        self._stream: _Stream | None = None
        self._token = ""
        self._reconnect_after = 0.0

    @property
    def connected(self) -> bool:
        return self._stream is not None and self._stream.open

    def send(self, message: messages.Up) -> bool:
        """False when there is no stream: a report is never kept for later, the next one is truer."""
        if self._stream is None or not self._stream.open:
            return False
        if isinstance(message, (messages.Hello, messages.Ack)):
            message = replace(message, ca_fingerprint=self._authorities.fingerprint)
        self._stream.transport.send(WSMsgType.BINARY, codec.encode(message))
        return True

    async def run(self) -> None:
        """Connect, serve, reconnect, until cancelled."""
        self._authorities = Authorities(self._operator.ca_bundle, self._folder)
        backoff = Backoff()
        while True:
            outcome, lived_seconds = await self._one_stream()
            asked, self._reconnect_after = self._reconnect_after, 0.0
            await asyncio.sleep(
                asked + random.uniform(0.0, backoff.after(outcome, lived_seconds, self._lease_seconds()))
            )

    async def close(self, goodbye: messages.Goodbye) -> None:
        """Say goodbye and close the stream, so that the grant is free at once."""
        stream = self._stream
        if stream is None or not self.send(goodbye):
            return
        stream.transport.send_close(WSCloseCode.GOING_AWAY)
        try:
            await asyncio.wait_for(stream.transport.wait_disconnected(), timeout=2.0)
        except (TimeoutError, WSError, OSError):
            stream.transport.disconnect(False)

    async def _one_stream(self) -> tuple[Outcome, float]:
        """How it ended, and how many seconds it lived."""
        try:
            transport, _ = await self._connect()
        except (OSError, WSError, TimeoutError, ssl.SSLError, UnicodeError) as error:
            status = getattr(getattr(error, "response", None), "status", None)
            self._count("connect_failed")
            _log.warning("the operator at %s can't be reached: %s", self._operator.url, error)
            return ("unauthorized" if status == 401 else "failed"), 0.0
        loop = asyncio.get_running_loop()
        opened_at, watch = loop.time(), loop.create_task(self._renew_when_rotated())
        try:
            await transport.wait_disconnected()
        except (OSError, WSError) as error:
            _log.warning("the stream to the operator ended: %s", error)
        finally:
            watch.cancel()
            self._stream = None
        return "served", loop.time() - opened_at

    async def _connect(self) -> tuple[WSTransport, WSListener]:
        self._token = (await asyncio.to_thread(self._operator.token_file.read_text)).strip()
        return await asyncio.wait_for(
            ws_connect(
                lambda: _Stream(self),
                self._operator.url,
                ssl_context=self._authorities.context,
                extra_headers=self._headers(),
                max_redirects=0,
                max_frame_size=codec.MAX_FRAME_BYTES,
                read_buffer_init_size=2048,
                enable_auto_ping=True,
                # Its TLS client never ends a handshake under OpenSSL 3.0.22; for one stream the loop's own is as good.
                use_aiofastnet=False,
                auto_ping_idle_timeout=PING_AFTER_IDLE_SECONDS,
                auto_ping_reply_timeout=PING_AFTER_IDLE_SECONDS,
            ),
            CONNECT_SECONDS,
        )

    def _headers(self) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self._token}"}
        if tickets := [ticket for ticket in self._tickets() if ticket]:
            shown = (base64.urlsafe_b64encode(ticket).rstrip(b"=").decode() for ticket in tickets)
            headers["Forefill-Ticket"] = ", ".join(shown)
        return headers

    async def _renew_when_rotated(self) -> None:
        while True:
            await asyncio.sleep(self._token_check_seconds)
            try:
                token = (await asyncio.to_thread(self._operator.token_file.read_text)).strip()
            except (OSError, UnicodeError) as error:
                _log.warning("the token can't be read again: %s", error)
                continue
            if token and token != self._token and self.send(messages.Renew(token=token)):
                self._token = token

    def opened(self, stream: "_Stream") -> None:
        self._stream = stream
        self._count("connected")
        self.send(self._hello())

    def frame(self, payload: bytes) -> None:
        try:
            message = codec.decode_down(payload)
        except codec.BadFrame as bad:
            self._count("bad_frame")
            _log.warning("the operator sent something else than a message: %s", bad.sentence)
            return
        if isinstance(message, messages.Assignment) and message.ca_bundle:
            self._authorities.take(message.ca_bundle)
        if isinstance(message, messages.Bye):
            self._reconnect_after = message.reconnect_after_seconds
        self._receive(message)


class _Stream(WSListener):
    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.open = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.open = True
        self._reporter.opened(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif frame.msg_type is WSMsgType.BINARY:
            self._reporter.frame(frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.open = False
