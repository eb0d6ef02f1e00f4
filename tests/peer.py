"""The client's end of a stream, as tests of the operator hold it."""

import asyncio
from dataclasses import dataclass, field

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from forefill_protocol import codec, messages


@dataclass(eq=False)
class Peer(WSListener):
    """Keeps what it is told, in order; waits at most `patience` seconds for more."""

    patience: float = 5.0
    received: "asyncio.Queue[messages.Down]" = field(default_factory=asyncio.Queue)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.BINARY:
            self.received.put_nowait(codec.decode_down(frame.get_payload_as_bytes()))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.closed.set()

    def send(self, message: messages.Up) -> None:
        self.send_bytes(codec.encode(message))

    def send_bytes(self, data: bytes) -> None:
        self.transport.send(WSMsgType.BINARY, data)

    async def next(self) -> messages.Down:
        return await asyncio.wait_for(self.received.get(), self.patience)

    async def ask(self, message: messages.Up) -> messages.Down:
        self.send(message)
        return await self.next()

    async def refused(self) -> tuple[int, str]:
        """The next answer, a refusal; assignments that are pushed meanwhile are passed over, for `patience` seconds."""
        async with asyncio.timeout(self.patience):
            while isinstance(answer := await self.next(), messages.Assignment):
                pass
        assert isinstance(answer, messages.Refused), answer
        return answer.code, answer.sentence

    async def assigned(self) -> messages.Assignment:
        answer = await self.next()
        assert isinstance(answer, messages.Assignment), answer
        return answer

    async def answered(self, sequence: int) -> messages.Assignment:
        """The answer to this report; what is pushed meanwhile is passed over, for `patience` seconds."""
        async with asyncio.timeout(self.patience):
            while (answer := await self.assigned()).answers < sequence:
                pass
        return answer

    async def close(self) -> None:
        self.transport.disconnect()
        await asyncio.wait_for(self.closed.wait(), self.patience)
        # The socket is let go by the loop's next turns.
        await asyncio.sleep(0.05)
