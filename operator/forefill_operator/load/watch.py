"""Measures the load of every policy once an interval and tells the controller what it is now."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from forefill_operator.controller import Controller
from forefill_operator.load.readings import Fault, Kind, Part, Rates, Reading
from forefill_operator.load.tracker import Tracker
from forefill_operator.policy import TokenPolicy
from forefill_operator.shaping import Load
from forefill_operator.spec import LoadSpec

TICK_SECONDS = 0.5
# A policy is measured at least so often while a value is fresh, whatever its interval.
MEASUREMENTS_UNTIL_STALE = 3
# The name that a policy has in load.source unless it gives another: alone it asks for nothing.
DEFAULT_SOURCE = "default"
JITTER = 0.1


class Source(Protocol):
    """Never raises: what goes wrong is a fault in a reading."""

    def allows(self, policy: TokenPolicy) -> bool: ...

    async def read(self, policy: TokenPolicy) -> Mapping[Part, Reading]:
        """Nothing when the policy gives this source nothing to measure."""

    async def rates(self, policy: TokenPolicy) -> Rates | None: ...

    async def close(self) -> None: ...


@dataclass
class Watched:
    """One policy. `load` is None while nothing is asked for; `counts` of faults by kind."""

    spec: LoadSpec
    tracker: Tracker
    due_at: float
    load: Load | None = None
    faults: Mapping[str, Fault] = field(default_factory=dict)
    counts: dict[Kind, int] = field(default_factory=dict)
    task: "asyncio.Task[None] | None" = None

    def note(self, faults: Mapping[str, Fault]) -> None:
        self.faults = faults
        for fault in faults.values():
            self.counts[fault.kind] = self.counts.get(fault.kind, 0) + 1


class Watch:
    """`sources` by the names that policies give in load.source."""

    def __init__(
        self,
        controller: Controller,
        sources: Mapping[str, Source],
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.watched: dict[str, Watched] = {}
        self._controller = controller
        self._sources = sources
        self._clock = clock
        self._chance = chance

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self.look_around(tasks)
                    await asyncio.sleep(TICK_SECONDS)
        finally:
            for source in self._sources.values():
                await source.close()

    def look_around(self, tasks: asyncio.TaskGroup) -> None:
        """Start the measurements that are due, never two of one policy, and tell what every load is now."""
        now = self._clock()
        policies = self._controller.served()
        for key in self.watched.keys() - policies.keys():
            self._drop(key)
        for key, policy in policies.items():
            watched = self._watched(policy, now)
            if now >= watched.due_at and (watched.task is None or watched.task.done()):
                watched.due_at = now + self._interval(policy)
                watched.task = tasks.create_task(self._measure(policy, watched))
            watched.load = watched.tracker.load(now) if watched.tracker.asked else None
            self._controller.set_load(key, watched.load, watched.faults)

    def _watched(self, policy: TokenPolicy, now: float) -> Watched:
        """A change of the policy is followed at once; what was measured before counts until then."""
        spec = policy.spec.load
        watched = self.watched.get(policy.key)
        if watched is None:
            # Many policies that come at once are spread over their interval.
            due_at = now + self._chance() * min(self._interval(policy), len(self.watched) * TICK_SECONDS / 10)
            watched = self.watched[policy.key] = Watched(spec, Tracker(spec.stale_after_seconds, 0.0), due_at)
        elif watched.spec != spec:
            watched.spec, watched.due_at = spec, now
        watched.tracker.stale_after = spec.stale_after_seconds
        watched.tracker.neutral = policy.spec.thresholds.load.low
        return watched

    def _drop(self, key: str) -> None:
        if task := self.watched.pop(key).task:
            task.cancel()

    def _interval(self, policy: TokenPolicy) -> float:
        spec = policy.spec
        interval = min(spec.report.interval_seconds, spec.load.stale_after_seconds / MEASUREMENTS_UNTIL_STALE)
        return interval * (1.0 + JITTER * (self._chance() - 0.5))

    async def _measure(self, policy: TokenPolicy, watched: Watched) -> None:
        source = self._source(policy)
        if source is None or isinstance(source, Fault):
            watched.tracker.observe({}, self._clock())
            watched.note({"load": source} if source else {})
            return
        readings = await source.read(policy)
        watched.tracker.observe(readings, self._clock())
        faults = dict(watched.tracker.faults)
        if not readings and not policy.spec.load.clients:
            sentence = f"source {policy.spec.load.source!r} is given no expression: set cpu, memory or network"
            faults["load"] = Fault("NoExpression", sentence)
        rates = await source.rates(policy)
        if rates is not None:
            self._controller.measured(policy.key, rates.by_pod, self._clock())
            if rates.faults:
                faults["clients"] = rates.faults[0]
        watched.note(faults)

    def _source(self, policy: TokenPolicy) -> Source | Fault | None:
        """Where the policy's load comes from; None when it asks for none, a fault when it may not ask."""
        spec = policy.spec.load
        if spec.source == DEFAULT_SOURCE and not (spec.cpu or spec.memory or spec.network or spec.clients):
            return None
        source = self._sources.get(spec.source)
        if source is None:
            known = ", ".join(sorted(self._sources)) or "none"
            return Fault(
                "UnknownSource", f"source {spec.source!r} is not set up by the operator's administrator ({known})"
            )
        if not source.allows(policy):
            sentence = f"source {spec.source!r} may not be asked by policies of namespace {policy.namespace}"
            return Fault("SourceNotAllowed", sentence)
        return source
