"""What users and the resource see while a fault goes on: requests through every sidecar, and what all may use."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import aiohttp

from forefill_lab.chaos.scene import MAX, Scene

LOOK_SECONDS = 0.1
REQUEST_SECONDS = 8.0
# Rates within this part of each other are the same.
ROUNDING = 1e-6
# The fault is over when this part of max is handed out again: safe rates are half of it at most.
WHOLE = 0.9
CALM_SECONDS = 3.0


class Sight(NamedTuple):
    """What one sidecar said that it may use, tokens/s, when asked at `asked` and answering by `at`."""

    asked: float
    at: float
    allowed: float


def most_at_once(sights: Iterable[Sequence[Sight]]) -> float:
    """The most that sidecars were certainly allowed at one moment, given what each said over time.

    They can't be asked at one instant. Between two equal answers a sidecar's rate is known: rates are not round.
    """
    known = [
        (before.at, after.asked, after.allowed)
        for each in sights
        for before, after in pairwise(each)
        if before.allowed == after.allowed and before.at < after.asked
    ]
    changes = sorted([(begin, rate) for begin, _, rate in known] + [(end, -rate) for _, end, rate in known])
    total, most = 0.0, 0.0
    for _, change in changes:
        total += change
        most = max(most, total)
    return most


@dataclass
class Watch:
    """Looks and asks until stopped. `failures` are answers of 500 and above, and none, by sidecar and kind."""

    scene: Scene
    sights: dict[str, list[Sight]] = field(default_factory=dict)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    requests: int = 0
    refused: int = 0
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._look())]
        self._tasks += [asyncio.create_task(self._ask(name, port)) for name, (port, _) in self.scene.sidecars.items()]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def over_grant(self) -> float:
        """What all sidecars together could use beyond max, tokens/s."""
        most = most_at_once(self.sights.values())
        return most - MAX if most > MAX * (1 + ROUNDING) else 0.0

    def recovered_after(self, moment: float) -> float | None:
        """Seconds from `moment` until everything was as before and stayed so; None when it never was."""
        looks = self._looks(moment)
        broken = [at for at, total in looks if total < WHOLE * MAX]
        if not looks or looks[-1][0] in broken:
            return None
        return max(0.0, broken[-1] - moment) if broken else 0.0

    def _looks(self, since: float) -> list[tuple[float, float]]:
        """When, and what all sidecars said in that round together."""
        rounds = zip(*self.sights.values(), strict=False)
        return [(each[0].at, sum(s.allowed for s in each)) for each in rounds if each[0].at >= since]

    async def until_whole(self, seconds: float) -> bool:
        """Everything has been whole for CALM_SECONDS; False when that takes longer than `seconds`."""
        since = time.monotonic()
        while time.monotonic() < since + seconds:
            calm = [total for _, total in self._looks(max(since, time.monotonic() - CALM_SECONDS))]
            if time.monotonic() - since > CALM_SECONDS and calm and min(calm) >= WHOLE * MAX:
                return True
            await asyncio.sleep(LOOK_SECONDS)
        return False

    async def _look(self) -> None:
        while True:
            await asyncio.gather(*(self._look_at(name, admin) for name, (_, admin) in self.scene.sidecars.items()))
            await asyncio.sleep(LOOK_SECONDS)

    async def _look_at(self, name: str, admin: int) -> None:
        asked = time.monotonic()
        allowed = (await self.scene.metrics(admin)).get("forefill_sidecar_allowed_tokens_per_second", 0.0)
        self.sights.setdefault(name, []).append(Sight(asked, time.monotonic(), allowed))

    async def _ask(self, name: str, port: int) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS)) as session:
            while True:
                self.requests += 1
                try:
                    async with session.get(f"http://127.0.0.1:{port}/") as answer:
                        await answer.read()
                        if answer.status >= 500:
                            self.failures[name, str(answer.status)] += 1
                        self.refused += answer.status == 429
                except (aiohttp.ClientError, TimeoutError) as error:
                    self.failures[name, type(error).__name__] += 1
                await asyncio.sleep(LOOK_SECONDS)
