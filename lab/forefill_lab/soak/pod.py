"""A sidecar reduced to its lease: a real stream and a real tenure, and demand that comes and goes as it likes."""

import asyncio
import random
import ssl
import time
from contextlib import suppress

from forefill_lab.chaos.scene import INTERVAL_SECONDS, LEASE_SECONDS, POLICY
from forefill_lab.reports.wire import StreamRefused, Wire
from forefill_protocol import codec, messages
from forefill_protocol.podsettings import PolicyListener
from forefill_protocol.policysettings import CostSettings, ForecastSettings, PolicySettings, QueueSettings
from forefill_sidecar.tenure import Tenure

OPEN_SECONDS, LEAVE_SECONDS = 5.0, 0.5
MOST_DEMAND = 30.0

_SETTINGS = PolicySettings(
    report_interval_seconds=INTERVAL_SECONDS,
    lease_seconds=LEASE_SECONDS,
    fallback="Safe",
    forecast=ForecastSettings("Ensemble", 0.95, 3),
    queue=QueueSettings(5.0, 1000),
    cost=CostSettings(1.0),
)
# It has nothing until an operator answers: what it may use is all of the operator's giving.
_LISTENER = PolicyListener(POLICY, "", 0, 1, "http://127.0.0.1:1", "Enforce", 0.0, 1.0, _SETTINGS)


class Pod:
    """Lives until its stream is gone or `leave` is called; then there is no process left that could use anything."""

    def __init__(self, name: str, port: int, context: ssl.SSLContext, chance: random.Random) -> None:
        self.name = name
        self._port, self._context, self._chance = port, context, chance
        self._tenure = Tenure(_LISTENER, time.monotonic())
        self._sent_at: dict[int, float] = {}
        self._sequence = 0
        self._demand = chance.uniform(0.0, MOST_DEMAND)
        self._boot = f"{name}-{chance.getrandbits(64):x}"
        self._wire: Wire | None = None
        self.lives = True

    def allowed(self, now: float) -> float:
        """Tokens/s that it may use now."""
        return self._tenure.allowance(now).fill_rate if self.lives and self._tenure.assignment else 0.0

    async def live(self) -> None:
        """Report once an interval, and come back whenever the operator is away, until it leaves."""
        try:
            while self.lives:
                with suppress(OSError, StreamRefused, TimeoutError):
                    await self._open()
                    await self._serve()
                self.cut()
                await asyncio.sleep(self._chance.uniform(0.1, 0.5))
        finally:
            self.vanish()

    async def leave(self) -> None:
        """As a pod does that gets SIGTERM: from its goodbye on it uses nothing."""
        self.lives = False
        self._send(messages.Goodbye())
        await asyncio.sleep(LEAVE_SECONDS)
        self.cut()

    def cut(self) -> None:
        """The stream breaks; the lease runs on."""
        if self._wire:
            self._wire.close()

    def vanish(self) -> None:
        self.lives = False
        self.cut()

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        wire = self._wire = Wire(self._context, "127.0.0.1", f"token-{self.name}", self._receive)
        await loop.create_connection(lambda: wire, "127.0.0.1", self._port)
        await asyncio.wait_for(wire.opened, OPEN_SECONDS)
        now = time.monotonic()
        self._sent_at = {0: now}
        holding = self._tenure.holding(now)
        self._send(messages.Hello(messages.PROTOCOL_VERSION, self._boot, "soak", [holding]))

    async def _serve(self) -> None:
        while self._wire and not self._wire.closed:
            await asyncio.sleep(self._chance.uniform(0.9, 1.0) * INTERVAL_SECONDS)
            self._report()

    def _receive(self, data: bytes) -> None:
        message, now = codec.decode_down(data), time.monotonic()
        if isinstance(message, messages.Assignment) and message.answers in self._sent_at:
            self._tenure.grant(message, self._sent_at[message.answers])
            self._sent_at = {key: at for key, at in self._sent_at.items() if key >= message.answers}
            self._send(messages.Ack(POLICY, message.grant_sequence, message.policy_generation))
        elif isinstance(message, messages.Recall) and (held := self._tenure.recall(message)):
            self._send(messages.Ack(POLICY, held.grant_sequence, held.policy_generation))
        elif isinstance(message, messages.Refused):
            self._tenure.refuse(message, now)

    def _report(self) -> None:
        now = time.monotonic()
        if self._chance.random() < 0.1:
            self._demand = self._chance.uniform(0.0, MOST_DEMAND)
        served = min(self._demand, self.allowed(now))
        held = self._tenure.assignment
        self._sequence += 1
        self._sent_at[self._sequence] = now
        entry = messages.PolicyReport(
            policy=POLICY,
            window_seconds=INTERVAL_SECONDS,
            offered=self._demand * INTERVAL_SECONDS,
            admitted=served * INTERVAL_SECONDS,
            refused=(self._demand - served) * INTERVAL_SECONDS,
            backlog=self._demand - served,
            requests=int(self._demand),
            forecasts=[messages.Forecast(self._demand, self._demand, 1.2 * self._demand, 1.3 * self._demand)] * 3,
            grant_sequence=held.grant_sequence if held else 0,
            policy_generation=held.policy_generation if held else 0,
        )
        self._send(messages.Report(self._sequence, [entry]))

    def _send(self, message: messages.Up) -> None:
        if self._wire:
            self._wire.send(codec.encode(message))
