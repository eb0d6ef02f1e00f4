"""The edge that sidecars talk to: sessions over TLS, messages in, messages out. Decisions are the controller's."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import assert_never

import aiofastnet
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from forefill_operator.client import Client
from forefill_operator.controller import Controller, Deliveries
from forefill_operator.identity import Authenticator, Rejected
from forefill_operator.metrics import Metrics
from forefill_operator.upgrade import Upgrade
from forefill_protocol import codec, messages

# A frame over the protocol's bound is refused with a sentence; one over this is not even read to its end.
HARD_FRAME_BYTES = 4 * codec.MAX_FRAME_BYTES
# A sidecar sends one report a window and an acknowledgement a grant; this is far beyond any honest one.
MESSAGES_PER_SECOND = 50
CLOSE_AFTER_BAD_FRAMES = 16
HANDSHAKE_SECONDS = 5.0

_log = logging.getLogger("forefill.stream")
Clock = Callable[[], float]


class StreamServer:
    """Serves every sidecar of one operator; `deliver` pushes to any of them."""

    def __init__(self, controller: Controller, authenticator: Authenticator, metrics: Metrics, clock: Clock) -> None:
        self.controller = controller
        self.authenticator = authenticator
        self.metrics = metrics
        self.clock = clock
        self.sessions: dict[str, Session] = {}
        self.open: set[Session] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int, context: ssl.SSLContext) -> int:
        """Listen; the port in use. Raises OSError when the address can't be had."""
        loop = asyncio.get_running_loop()
        self._server = await aiofastnet.create_server(
            loop,
            self._upgrade,
            host,
            port,
            ssl=context,
            reuse_address=True,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
            ssl_shutdown_timeout=HANDSHAKE_SECONDS,
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self, reason: str) -> None:
        """Tell every sidecar to come back, then close."""
        for number, session in enumerate(list(self.open)):
            session.send(messages.Bye(reason=reason, reconnect_after_seconds=1.0 + (number % 100) / 50.0))
            session.transport.send_close(WSCloseCode.GOING_AWAY)
            session.transport.disconnect()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _upgrade(self) -> Upgrade:
        return Upgrade(
            messages.STREAM_PATH.encode(),
            self.authenticator.authenticate,
            lambda client: Session(self, client),
            self.metrics.upgrade_rejected,
            HARD_FRAME_BYTES,
        )

    def deliver(self, deliveries: Deliveries) -> None:
        """Send each message to the pod it names; a pod without a stream gets its grant with its next Hello."""
        for pod_uid, message in deliveries:
            if isinstance(message, messages.Refused):
                self.metrics.entry_refused(message.code)
            if session := self.sessions.get(pod_uid):
                session.send(message)


class Session(WSListener):
    """One sidecar's stream."""

    def __init__(self, server: StreamServer, client: Client) -> None:
        self._server = server
        self.client = client
        self.transport: WSTransport
        self._second, self._in_second = 0, 0
        self._bad_frames = 0
        self._renewing: asyncio.Task[None] | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self._server.open.add(self)

    def _introduce(self) -> None:
        """From its hello on the stream is the pod's: what is pushed earlier would be counted from a later hello."""
        earlier = self._server.sessions.get(self.client.pod_uid)
        self._server.sessions[self.client.pod_uid] = self
        self._server.metrics.streams(len(self._server.sessions))
        if earlier is not None:
            earlier.transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._server.open.discard(self)
        if self._renewing is not None:
            self._renewing.cancel()
        if self._server.sessions.get(self.client.pod_uid) is self:
            del self._server.sessions[self.client.pod_uid]
            self._server.controller.disconnected(self.client.pod_uid, self._server.clock())
        self._server.metrics.streams(len(self._server.sessions))

    def pause_writing(self) -> None:
        # A sidecar that does not take 64 KB of answers is gone or hostile; its lease covers it until it comes back.
        self.transport.disconnect(False)

    def resume_writing(self) -> None:
        """Never reached: a paused stream is cut."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif frame.msg_type is WSMsgType.BINARY and frame.fin:
            self._receive(frame.get_payload_as_bytes())
        elif frame.msg_type in (WSMsgType.BINARY, WSMsgType.TEXT, WSMsgType.CONTINUATION):
            self._refuse(400, "a message is one binary frame, not text and not in pieces")

    def send(self, message: messages.Down) -> None:
        self.transport.send(WSMsgType.BINARY, codec.encode(message))

    def _receive(self, frame: bytes) -> None:
        now = self._server.clock()
        if self._too_many(now):
            self._refuse(429, f"more than {MESSAGES_PER_SECOND} messages came within a second", 1.0)
            return
        try:
            message = codec.decode_up(frame)
        except codec.BadFrame as bad:
            self._refuse(bad.code, bad.sentence)
            return
        if isinstance(message, messages.Hello) == self._introduced:
            self._refuse(400, "a stream begins with its one hello")
            return
        self._server.metrics.message(message)
        self._server.deliver(self._answer(message, now))

    @property
    def _introduced(self) -> bool:
        return self._server.sessions.get(self.client.pod_uid) is self

    def _answer(self, message: messages.Up, now: float) -> Deliveries:
        controller, uid = self._server.controller, self.client.pod_uid
        match message:
            case messages.Report():
                return controller.report(self.client, message, now)
            case messages.Ack():
                return controller.ack(uid, message, now)
            case messages.Hello():
                self._introduce()
                return controller.hello(self.client, message, now)
            case messages.Goodbye():
                return controller.goodbye(uid, now)
            case messages.Renew():
                self._renewing = asyncio.get_running_loop().create_task(self._renew(message.token))
                return []
            case _:
                assert_never(message)

    async def _renew(self, token: str) -> None:
        try:
            client = await self._server.authenticator.authenticate(token)
        except Rejected as rejected:
            if rejected.code != 503:
                self._end(rejected.code, rejected.sentence)
            return
        if client.pod_uid != self.client.pod_uid:
            self._end(403, "the renewed token is another pod's")

    def _end(self, code: int, sentence: str) -> None:
        self._refuse(code, sentence)
        self.transport.send_close(WSCloseCode.POLICY_VIOLATION)
        self.transport.disconnect()

    def _refuse(self, code: int, sentence: str, retry_after_seconds: float = 0.0) -> None:
        self._server.metrics.frame_refused(code)
        self._bad_frames += 1
        if self._bad_frames > CLOSE_AFTER_BAD_FRAMES:
            self.transport.send_close(WSCloseCode.POLICY_VIOLATION)
            self.transport.disconnect()
            return
        self.send(messages.Refused(code=code, sentence=sentence[:1024], retry_after_seconds=retry_after_seconds))

    def _too_many(self, now: float) -> bool:
        if int(now) != self._second:
            self._second, self._in_second = int(now), 0
        self._in_second += 1
        return self._in_second > MESSAGES_PER_SECOND
