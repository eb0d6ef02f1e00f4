"""The operator's loop, the same with and without a cluster: serve streams, plan, push, publish figures."""

import asyncio
import logging
import signal
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from forefill_operator import garbage
from forefill_operator.controller import TICK_SECONDS, Controller
from forefill_operator.explanation.answers import Answer, answer
from forefill_operator.health import Health
from forefill_operator.identity import Authenticator
from forefill_operator.metrics import Metrics
from forefill_operator.profiles.profiles import Profiles
from forefill_operator.stream_server import StreamServer
from forefill_operator.tickets import Key
from forefill_operator.usage import Address

# A loop that has not ticked for this long is stuck, and the process is better started again.
STUCK_SECONDS = 30.0

_log = logging.getLogger("forefill.operator")
Clock = Callable[[], float]
Chore = Callable[[], Awaitable[None]]


@dataclass
class Runtime:
    """`chores` run beside the loop until the end; `alive` adds a reason not to be to its own; `keys` sign tickets;
    `shares_port` lets other operators of this node listen where this one does.

    `profiles_kept` is the file in which what is known of workloads outlives the operator, if it is to.
    """

    controller: Controller
    authenticator: Authenticator
    metrics: Metrics
    context: ssl.SSLContext
    stream: Address
    health: Address
    chores: Sequence[Chore] = ()
    alive: Callable[[], str | None] = lambda: None
    ready: Callable[[], str | None] = lambda: None
    clock: Clock = time.monotonic
    keys: Callable[[], Sequence[Key]] | None = None
    profiles_kept: Path | None = None
    shares_port: bool = False
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.profiles = Profiles(
            self.controller.policy, self.metrics.registry, self.profiles_kept, tell=self.controller.audited
        )
        self.server = StreamServer(
            self.controller,
            self.authenticator,
            self.metrics,
            self.clock,
            keys=self.keys,
            ready=lambda: self.ready(),
            profiles=self.profiles,
        )
        self._ticked_at = self.clock()

    async def run(self) -> None:
        """Serve until `stopping` is set. Raises OSError when an address can't be had, and whatever ends a chore."""
        health = Health(self._expose, self._alive, self.ready, self._explain)
        try:
            port = await self.server.start(*self.stream, self.context, self.shares_port)
            health_port = await health.start(*self.health)
            where = self.stream[0], port, self.health[0], health_port
            _log.info("streams on %s:%d, health and metrics on %s:%d", *where)
            async with asyncio.TaskGroup() as group:
                chores = [self._tick, self._collect, self.profiles.run, *self.chores]
                tasks = [group.create_task(_run(chore)) for chore in chores]
                await self._stopped(tasks)
                for task in tasks:
                    task.cancel()
        finally:
            await self.server.close("the operator stops")
            await health.close()

    def stop_on_signals(self) -> None:
        """SIGTERM and SIGINT stop; SIGUSR1 fits every workload now."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        loop.add_signal_handler(signal.SIGUSR1, self.profiles.ask)

    async def _stopped(self, tasks: Sequence["asyncio.Task[None]"]) -> None:
        stop = asyncio.get_running_loop().create_task(self.stopping.wait())
        try:
            await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            started = time.perf_counter()
            self.server.deliver(self.controller.tick(self.clock()))
            self.metrics.plan_took(time.perf_counter() - started)
            self._ticked_at = self.clock()

    async def _collect(self) -> None:
        await garbage.collect_seldom(lambda: self.server.ended, lambda: len(self.server.open))

    def _expose(self) -> bytes:
        self.metrics.figures(self.controller.figures(self.clock()))
        return self.metrics.text()

    def _explain(self, policy: str, client: str) -> Answer:
        return answer(self.controller, policy, client, self.clock())

    def _alive(self) -> str | None:
        if self.clock() - self._ticked_at > STUCK_SECONDS:
            return f"the loop has not planned for {self.clock() - self._ticked_at:.0f} s"
        return self.alive()


async def _run(chore: Chore) -> None:
    await chore()
