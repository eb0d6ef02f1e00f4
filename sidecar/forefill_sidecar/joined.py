"""A sidecar that an operator guides: listeners, agent and reporter put together."""

import asyncio
import os
import time
import uuid
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from forefill_protocol import messages
from forefill_protocol.podsettings import HEALTH_PORT, PodSettings, PolicyListener
from forefill_sidecar import local_time, state
from forefill_sidecar.agent import Agent, Member
from forefill_sidecar.assembly import Sidecar, build_listener
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.forecast.season import Season
from forefill_sidecar.keepsake import Keepsake, Kept
from forefill_sidecar.profile import Profile
from forefill_sidecar.proxy.listener import Listener
from forefill_sidecar.reporter import Operator, Reporter
from forefill_sidecar.state import StateFile
from forefill_sidecar.stream_figures import StreamFigures
from forefill_sidecar.tenure import Tenure

SAVE_SECONDS = 1.0
SAVE_LEARNED_SECONDS = 60.0


class JoinedSidecar:
    """Everything one sidecar process runs. Raises ValueError when the settings can't be used."""

    def __init__(
        self,
        listeners: Sequence[PolicyListener],
        operator: Operator,
        admin: Sequence[tuple[str, int]],
        state_directory: Path | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        now = time.monotonic()
        self.figures = StreamFigures()
        self.sidecar = Sidecar([build_listener(listener, host=host) for listener in listeners], admin)
        self.agent = Agent(
            boot_id=uuid.uuid4().hex,
            software=f"forefill {metadata.version('forefill')}",
            members=[_member(built.settings, built, now) for built in self.sidecar.listeners],
            send=lambda message: self.reporter.send(message),
            clock=time.monotonic,
            wall_clock=time.time,
        )
        self.reporter = Reporter(
            operator,
            self.agent.hello,
            self.agent.receive,
            self.figures.count,
            tickets=self._tickets,
            folder=state_directory,
            lease_seconds=lambda: min(member.settings.lease_seconds for member in self.agent.members),
        )
        self.sidecar.api.more_families = lambda: self.figures.families(self.reporter, self.agent)
        self._keepsake = Keepsake(state_directory) if state_directory else None
        self._learned = (
            {member.policy: StateFile(state_directory, member.policy) for member in self.agent.members}
            if state_directory
            else {}
        )
        self._restore(now)
        self._gather()

    async def run(self, stopping: asyncio.Event, grace_seconds: float) -> None:
        """Serve until `stopping`, then let requests under way end, report once more and say goodbye."""
        await self.sidecar.start()
        loop = asyncio.get_running_loop()
        streaming, looping = loop.create_task(self.reporter.run()), loop.create_task(self.agent.run())
        saving = loop.create_task(self._save())
        learning = loop.create_task(self._save_learned())
        stop = loop.create_task(stopping.wait())
        await asyncio.wait([stop, streaming, looping, saving, learning], return_when=asyncio.FIRST_COMPLETED)
        await self.sidecar.close(grace_seconds)
        self.agent.report_now()
        await self._write_learned()
        await self.reporter.close(messages.Goodbye(reason="the pod ends"))
        for task in (stop, streaming, looping, saving, learning):
            task.cancel()
        results = await asyncio.gather(streaming, looping, saving, learning, return_exceptions=True)
        for failure in results:
            if isinstance(failure, Exception):
                raise failure

    def _tickets(self) -> list[bytes]:
        held = [member.tenure.assignment for member in self.agent.members]
        return [assignment.ticket for assignment in held if assignment]

    def _restore(self, now: float) -> None:
        wall_time = time.time()
        kept = {each.assignment.policy: each for each in self._keepsake.load(wall_time)} if self._keepsake else {}
        for member in self.agent.members:
            if each := kept.get(member.policy):
                member.restore(each.assignment, now - (wall_time - each.counted_from), now)
            if file := self._learned.get(member.policy):
                member.profile = file.load(member.predictor, member.listener.expectations, now, wall_time)

    def _gather(self) -> None:
        """Keep a profile of each policy, and let its listener gather for it."""
        for member, listener in zip(self.agent.members, self.sidecar.listeners, strict=True):
            profile = member.profile = member.profile or Profile(member.predictor.season)
            profile.arrivals.user_header = member.settings.forecast.user_header.lower().encode()
            listener.arrivals = profile.arrivals
        self.sidecar.api.profiles = {each.policy: each.profile for each in self.agent.members if each.profile}

    async def _save_learned(self) -> None:
        while True:
            await asyncio.sleep(SAVE_LEARNED_SECONDS)
            await self._write_learned()

    async def _write_learned(self) -> None:
        for member in self.agent.members:
            file = self._learned.get(member.policy)
            if file is None or member.profile is None:
                continue
            learned = member.predictor, member.profile, member.listener.expectations
            document = state.encode(member.policy, *learned, time.monotonic(), time.time())
            await asyncio.to_thread(file.write, document)

    async def _save(self) -> None:
        saved: list[Kept] = []
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            offset = time.time() - time.monotonic()
            held = [(m.tenure.assignment, m.tenure.counted_from) for m in self.agent.members]
            current = [Kept(assignment, counted_from + offset) for assignment, counted_from in held if assignment]
            if self._keepsake and [k.assignment for k in current] != [k.assignment for k in saved]:
                await asyncio.to_thread(self._keepsake.save, current)
                saved = current


def _member(settings: PolicyListener, listener: Listener, now: float) -> Member:
    forecast, interval = settings.settings.forecast, settings.settings.report_interval_seconds
    season = Season(interval, local_time.second_of_week(time.time(), local_time.zone(forecast.time_zone)))
    return Member(
        listener=listener,
        tenure=Tenure(settings, started_at=now),
        predictor=Predictor(forecast.model, forecast.horizon_windows, season),
        settings=settings.settings,
        report_due=now + settings.settings.report_interval_seconds,
    )


def from_pod(settings: PodSettings) -> JoinedSidecar:
    """The sidecar of an injected pod. Health and metrics are for the kubelet and Prometheus, who come from outside."""
    operator = Operator(settings.operator, settings.ca_bundle, Path(settings.token_file))
    state = Path(settings.state_directory)
    return JoinedSidecar(
        settings.listeners, operator, [("0.0.0.0", HEALTH_PORT)], state if os.access(state, os.W_OK) else None
    )
