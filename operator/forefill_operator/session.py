"""One sidecar's stream, from the first frame to the last."""

import asyncio
from typing import TYPE_CHECKING, assert_never

from msgspec.structs import replace
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from forefill_operator.acceptor import Arrival
from forefill_operator.controller import Deliveries
from forefill_operator.door import Admitted
from forefill_operator.door_metrics import StreamEnd
from forefill_operator.identity import Rejected
from forefill_operator.throttle import Pace
from forefill_protocol import codec, messages

if TYPE_CHECKING:
    from forefill_operator.stream_server import StreamServer

# A sidecar sends one report a window and an acknowledgement a grant; this is far beyond any honest one.
MESSAGES_PER_SECOND = 50
# A stream that goes on like that is ended.
FLOODED_SECONDS = 10
CLOSE_AFTER_BAD_FRAMES = 16
# Half of a short assignment is its ticket, which does not shrink: zstd would take ten times as long as all the rest.
COMPRESS_FROM_BYTES = 1024
HELLO_SECONDS = 10.0
# A sidecar reports once a window and answers pings.
SILENT_SECONDS = 120.0


class Session(WSListener):
    """A stream that `admitted` holds. It is its pod's from its hello on."""

    __slots__ = (
        "_arrival", "_bad_frames", "_heard_at", "_opened_at", "_pace", "_renewing", "_sequence", "_server", "_to_renew",
        "admitted", "ca_fingerprint", "new_to", "sent_ca", "transport",
    )  # fmt: skip

    def __init__(self, server: "StreamServer", admitted: Admitted, arrival: Arrival) -> None:
        self._server = server
        self._arrival = arrival
        self.admitted = admitted
        self.transport: WSTransport
        self.ca_fingerprint = ""
        self.sent_ca = ""
        # Policies that the pod has no grant of when it greets.
        self.new_to: frozenset[str] = frozenset()
        self._sequence = 0
        self._opened_at = self._heard_at = server.clock()
        self._pace = Pace(MESSAGES_PER_SECOND)
        self._bad_frames = 0
        self._renewing: asyncio.Task[None] | None = None
        self._to_renew = ""

    @property
    def pod_uid(self) -> str:
        return self.admitted.client.pod_uid

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        # The token is in there, and nobody needs it any more.
        transport.request.headers.clear()
        transport.response.headers.clear()
        self._arrival.finish()
        self._server.opened(self)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._arrival.end()
        if self._renewing is not None:
            self._renewing.cancel()
        self._server.closed(self)

    def pause_writing(self) -> None:
        # A sidecar that does not take 64 KB of answers is gone or hostile; its lease covers it until it comes back.
        self.transport.disconnect(False)

    def resume_writing(self) -> None:
        """Never reached: a paused stream is cut."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        now = self._server.clock()
        self._heard_at = now
        if frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif over := self._pace.count(now):
            self._server.door_metrics.dropped()
            if over == 1:
                self._hold_back(now)
        elif frame.msg_type is WSMsgType.BINARY and frame.fin:
            self._receive(frame.get_payload_as_bytes(), now)
        elif frame.msg_type in (WSMsgType.BINARY, WSMsgType.TEXT, WSMsgType.CONTINUATION):
            self._refuse_frame(400, "a message is one binary frame, not text and not in pieces")

    def send(self, message: messages.Down) -> None:
        if isinstance(message, messages.Assignment):
            message = self._server.stamped(message, self)
        self.transport.send(WSMsgType.BINARY, codec.encode(message, COMPRESS_FROM_BYTES))

    def end(self, code: int, sentence: str, reason: StreamEnd) -> None:
        """Say why, and close."""
        self._server.door_metrics.stream_ended(reason)
        self._server.metrics.frame_refused(code)
        self.send(messages.Refused(code=code, sentence=sentence))
        self.transport.send_close(WSCloseCode.POLICY_VIOLATION)
        self.transport.disconnect()

    def close(self, bye: messages.Bye) -> None:
        self.send(bye)
        self.transport.send_close(WSCloseCode.GOING_AWAY)
        # A stream that is held back would not hear the end of it.
        self.transport.underlying_transport.resume_reading()
        self.transport.disconnect()

    def overdue(self, now: float, wall_now: float) -> tuple[int, str, StreamEnd] | None:
        """Code, sentence and reason why this stream has to end by now, if it has to."""
        if not self.is_introduced and now - self._opened_at > HELLO_SECONDS:
            return 408, f"no hello came within {HELLO_SECONDS:.0f} s", "silent"
        if now - self._heard_at > SILENT_SECONDS:
            return 408, f"nothing came for {SILENT_SECONDS:.0f} s", "silent"
        if wall_now >= self.admitted.expires_at:
            return 401, "the token has ended and was not renewed", "expired"
        if self.admitted.token is not None and wall_now >= self.admitted.review_by:
            return 503, "the API server could not be asked about the token in time", "unreviewed"
        return None

    async def review(self) -> bool:
        """Ask about the token that a ticket stood for; False when nobody could be asked."""
        token = self.admitted.token
        return token is None or await self._judge(token)

    async def _judge(self, token: str) -> bool:
        """The stream goes on while nobody can be asked."""
        try:
            self._take(await self._server.door.review(token))
        except Rejected as rejected:
            if rejected.code == 503:
                return False
            if self in self._server.open:
                self.end(rejected.code, rejected.sentence, "refused")
        return True

    def _take(self, reviewed: Admitted) -> None:
        if self not in self._server.open:
            return
        if reviewed.client.pod_uid != self.pod_uid:
            self.end(403, "the renewed token is another pod's", "refused")
        else:
            self.admitted = reviewed

    @property
    def is_introduced(self) -> bool:
        return self._server.sessions.get(self.pod_uid) is self

    def _receive(self, frame: bytes, now: float) -> None:
        try:
            message = codec.decode_up(frame)
        except codec.BadFrame as bad:
            self._refuse_frame(bad.code, bad.sentence)
            return
        if isinstance(message, messages.Hello) == self.is_introduced:
            self._refuse_frame(400, "a stream begins with its one hello")
            return
        self._server.metrics.message(message)
        self._server.deliver(self._answer(message, now))

    def _answer(self, message: messages.Up, now: float) -> Deliveries:
        controller, client = self._server.controller, self.admitted.client
        match message:
            case messages.Report():
                if message.sequence > self._sequence:
                    self._sequence = message.sequence
                    self._server.profiles.heard(client, message, now)
                return controller.report(client, message, now)
            case messages.Ack():
                self.ca_fingerprint = message.ca_fingerprint or self.ca_fingerprint
                return controller.ack(client.pod_uid, message, now)
            case messages.Hello():
                self.ca_fingerprint = message.ca_fingerprint
                self.new_to = frozenset(each.policy for each in message.holdings if not each.grant_sequence)
                self._server.introduce(self)
                return controller.hello(client, self._proven(message), now)
            case messages.Goodbye():
                return controller.goodbye(client.pod_uid, now)
            case messages.Renew():
                self._renew(message.token)
                return []
            case _:
                assert_never(message)

    def _proven(self, hello: messages.Hello) -> messages.Hello:
        """What the sidecar says it holds, as far as its tickets prove it."""
        return replace(hello, holdings=[self._server.proven(self, holding) for holding in hello.holdings])

    def _renew(self, token: str) -> None:
        """One at a time, the newest last: a sidecar renews once in some ten minutes."""
        self._to_renew = token
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.get_running_loop().create_task(self._renew_newest())

    async def _renew_newest(self) -> None:
        while self._to_renew:
            token, self._to_renew = self._to_renew, ""
            await self._judge(token)

    def _refuse_frame(self, code: int, sentence: str, retry_after_seconds: float = 0.0) -> None:
        self._server.metrics.frame_refused(code)
        self._bad_frames += 1
        if self._bad_frames > CLOSE_AFTER_BAD_FRAMES:
            self._server.door_metrics.stream_ended("nonsense")
            self.transport.send_close(WSCloseCode.POLICY_VIOLATION)
            self.transport.disconnect()
            return
        self.send(messages.Refused(code=code, sentence=sentence[:1024], retry_after_seconds=retry_after_seconds))

    def _hold_back(self, now: float) -> None:
        """Read nothing more until the second is over: what is sent meanwhile waits in the sender's own memory."""
        sentence = f"more than {MESSAGES_PER_SECOND} messages came within a second"
        if self._pace.flooded_seconds >= FLOODED_SECONDS:
            self.end(429, f"{sentence}, {FLOODED_SECONDS} times in a row", "flood")
            return
        self._server.metrics.frame_refused(429)
        self.send(messages.Refused(code=429, sentence=sentence, retry_after_seconds=1.0))
        self.transport.underlying_transport.pause_reading()
        asyncio.get_running_loop().call_later(1.0 - now % 1.0, self._read_on)

    def _read_on(self) -> None:
        if self in self._server.open:
            self.transport.underlying_transport.resume_reading()
