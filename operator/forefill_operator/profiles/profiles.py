"""Where reports, fits and new pods meet: what the loop and the streams call."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry

from forefill_operator import selection
from forefill_operator.client import Client
from forefill_operator.policy import TokenPolicy
from forefill_operator.profiles import fitting, inheritance
from forefill_operator.profiles.calendar import DAY_SECONDS, Calendar, second_of_week
from forefill_operator.profiles.fitting import FitFailed
from forefill_operator.profiles.metrics import ProfileMetrics
from forefill_operator.profiles.past import Past
from forefill_operator.profiles.pasts import Key, Pasts
from forefill_operator.profiles.shelf import Shelf
from forefill_operator.profiles.tasks import LEAST_WINDOWS, Task
from forefill_operator.status import BestModel
from forefill_protocol.messages import Report
from forefill_protocol.policysettings import Inherited

# Fits begin in these seconds after midnight UTC, each operator's at a moment of its own.
FITS_BETWEEN = 3600.0, 4 * 3600.0
# Clocks differ a little: a night does not begin again so soon after it began.
LEAST_SECONDS = 1800.0
# So many workloads a process: at most 1.2 MB to hand over.
BATCH = 8

_log = logging.getLogger("forefill.profiles")
Clock = Callable[[], float]


class Profiles:
    """`policy` looks a policy up by its key; `tell` hears which models the audit found best for its workloads.

    `kept` is the file that outlives the operator, if any; `fits_at` is in seconds after midnight UTC.
    """

    def __init__(
        self,
        policy: Callable[[str], TokenPolicy | None],
        registry: CollectorRegistry,
        kept: Path | None = None,
        wall_clock: Clock = time.time,
        fits_at: float | None = None,
        tell: Callable[[str, Sequence[BestModel]], None] = lambda policy, best_models: None,
    ) -> None:
        self._policy = policy
        self._tell = tell
        self._metrics = ProfileMetrics(registry)
        self._shelf = Shelf(kept) if kept else None
        self._wall_clock = wall_clock
        self._calendar = Calendar()
        self._pasts = Pasts()
        self._asked = asyncio.Event()
        self._fits_at = random.uniform(*FITS_BETWEEN) if fits_at is None else fits_at

    def heard(self, client: Client, report: Report, now: float) -> None:
        """Learn from one new report; `now` is monotonic. Pods of no workload or that are not admitted teach nothing."""
        if not client.workload:
            return
        wall_now = self._wall_clock()
        for entry in report.entries:
            policy = self._policy(entry.policy)
            if policy is None or not selection.admits(policy, client.namespace, client.labels):
                continue
            spec = policy.spec
            past = self._pasts.heard(_key(entry.policy, client), spec.report.interval_seconds, now)
            if past is not None:
                quarter = self._calendar.quarter(wall_now, spec.forecast.time_zone)
                past.hear(client.pod_uid, entry, quarter, now, wall_now)

    def inherited(self, client: Client, policy: str, now: float) -> Inherited | None:
        """What a new pod begins with, where its workload is known."""
        past = self._pasts.get(_key(policy, client)) if client.workload else None
        found = inheritance.inherited(past, client.pod_uid, now) if past else None
        if found is not None:
            self._metrics.inherited()
        return found

    def ask(self) -> None:
        """Fit now."""
        self._asked.set()

    async def run(self) -> None:
        """Fit every night and whenever asked, until cancelled."""
        if self._shelf:
            self._pasts.restore(await asyncio.to_thread(self._shelf.read))
            self._publish()
        try:
            await self._night(self._seconds_to_night())
            while True:
                await self.fit()
                seconds = self._seconds_to_night()
                await self._night(seconds if seconds > LEAST_SECONDS else seconds + DAY_SECONDS)
        finally:
            self._keep()

    async def _night(self, seconds: float) -> None:
        """Wait for it, or until asked."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        self._asked.clear()

    def _seconds_to_night(self) -> float:
        return (self._fits_at - self._wall_clock()) % DAY_SECONDS

    async def fit(self) -> None:
        """Everything with news and enough of a history, some at a time, so that the process stays small."""
        began = time.perf_counter()
        due = [(key, past) for key, past in self._pasts if past.has_news and len(past.history) >= LEAST_WINDOWS]
        for first in range(0, len(due), BATCH):
            await self._fit(due[first : first + BATCH])
        self._publish()
        self._metrics.fits_took(time.perf_counter() - began)
        if self._shelf:
            await asyncio.to_thread(self._shelf.write, self._pasts.kept())
        _log.info("fitted %d workloads in %.0f s", len(due), time.perf_counter() - began)

    async def _fit(self, chosen: Sequence[tuple[Key, Past]]) -> None:
        pairs = [(key, past, policy) for key, past in chosen if (policy := self._policy(key.policy))]
        if not pairs:
            return
        try:
            found = await fitting.fit([_task(past, policy) for _, past, policy in pairs])
        except FitFailed as failed:
            _log.error("%d workloads keep what was fitted before: %s", len(pairs), failed)
            self._metrics.fitted("failed", len(pairs))
            return
        for (_, past, _), fitted in zip(pairs, found, strict=True):
            past.fitted, past.has_news = fitted, False
        self._metrics.fitted("done", len(pairs))

    def _publish(self) -> None:
        """What the audit found last, of all that is still remembered."""
        found: dict[str, list[BestModel]] = {}
        for key, past in self._pasts:
            if fitted := past.fitted:
                best = BestModel(key.workload, fitted.best, fitted.skills[fitted.best])
                found.setdefault(key.policy, []).append(best)
        for policy, best_models in found.items():
            self._tell(policy, best_models)
        self._metrics.best_models(found)

    def _keep(self) -> None:
        if self._shelf:
            self._shelf.write(self._pasts.kept())


def _key(policy: str, client: Client) -> Key:
    return Key(policy, f"{client.namespace}/{client.workload}")


def _task(past: Past, policy: TokenPolicy) -> Task:
    began, forecast = past.ended_at - len(past.history) * past.interval, policy.spec.forecast
    return Task.of(past.history.ordered(), second_of_week(began, forecast.time_zone), past.interval, forecast.model)
