"""The soak itself: pods come and go, policies change, operators restart, and everything is looked at all the time."""

import asyncio
import json
import os
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from forefill_lab.chaos.scene import LEASE_SECONDS, MAX, Scene
from forefill_lab.chaos.watch import ROUNDING, Sight, Watch, most_at_once
from forefill_lab.soak.pod import Pod
from forefill_lab.soak.slope import Sample

PODS = 17
SAMPLE_SECONDS = 1.0
# What was allowed is added up over this time, of which every moment is looked at.
LOOK_BACK_SECONDS = 5.0
# A lowered max is in force when the operator has read its file and every lease given before has ended.
LATE_SECONDS = 1.01 * LEASE_SECONDS + 6.0
EDIT_SECONDS, CHURN_SECONDS = 20.0, 2.0
MAXIMA = (MAX, 0.8 * MAX, 0.6 * MAX)
# Restarts, as parts of the run: all in its first half, so that one process lives through the second.
RESTARTS = (0.1, 0.2, 0.3)
OPERATOR, SIDECAR = "operator one", "sidecar a"
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Soak:
    """What came of it. `resident` is bytes by process over seconds of the run; `over_grant` is tokens/s."""

    seconds: float
    resident: dict[str, list[Sample]] = field(default_factory=lambda: {OPERATOR: [], SIDECAR: []})
    over_grant: float = 0.0
    requests: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    edits: int = 0
    joins: int = 0
    restarts: list[float] = field(default_factory=list)

    def second_half(self, process: str) -> list[Sample]:
        return [sample for sample in self.resident[process] if sample.at >= self.seconds / 2]


class Stage:
    """One run on one scene; `chance` decides what happens when."""

    def __init__(self, scene: Scene, seconds: float, chance: random.Random) -> None:
        self.scene = scene
        self.soak = Soak(seconds)
        self._chance = chance
        self._watch = Watch(scene)
        self._pods: dict[str, Pod] = {}
        self._sights: dict[str, list[Sight]] = {}
        self._maxima = [(0.0, MAX)]
        self._lives: set[asyncio.Task[None]] = set()

    async def play(self, progress: Callable[[float], None]) -> Soak:
        """Raises SceneFailed, Unplayable."""
        await self._set_up()
        self._watch.start()
        begin = time.monotonic()
        chores = [asyncio.create_task(chore) for chore in (self._edit(), self._churn(), self._restart(begin))]
        try:
            while (now := time.monotonic()) < begin + self.soak.seconds:
                self._look(now)
                self._sample(now - begin)
                progress(now - begin)
                await asyncio.sleep(0.1)
                for chore in chores:
                    if chore.done():
                        chore.result()
        finally:
            for task in (*chores, *self._lives):
                task.cancel()
            await asyncio.gather(*chores, *self._lives, return_exceptions=True)
            await self._watch.stop()
        self.soak.requests = self._watch.requests
        self.soak.failures = {f"{name} {kind}": count for (name, kind), count in self._watch.failures.items()}
        return self.soak

    async def _set_up(self) -> None:
        scene = self.scene
        scene.write_files()
        with (scene.folder / "state" / "tokens.csv").open("a") as file:
            file.writelines(f"token-pod-{n},pod-{n},uid-pod-{n}\n" for n in range(PODS))
        await scene.start_parts()

    # What happens

    async def _edit(self) -> None:
        path = self.scene.folder / "policies" / "llm.yaml"
        while True:
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * EDIT_SECONDS)
            manifest = json.loads(path.read_text())
            most = self._chance.choice(MAXIMA)
            manifest["spec"]["fillRate"] |= {"max": most, "base": self._chance.uniform(0.3, 1.0) * most}
            beside = path.with_suffix(".new")
            beside.write_text(json.dumps(manifest))
            self._maxima.append((time.monotonic(), most))
            os.replace(beside, path)
            self.soak.edits += 1

    async def _churn(self) -> None:
        context = ssl.create_default_context(cafile=str(self.scene.folder / "state" / "ca.crt"))
        port = self.scene.service if self.scene.balancer else self.scene.operators["one"][0]
        names = [f"pod-{number}" for number in range(PODS)]
        while True:
            name = self._chance.choice(names)
            pod = self._pods.get(name)
            if pod is None or not pod.lives:
                self._pods[name] = pod = Pod(name, port, context, self._chance)
                self._live(pod)
            elif len(self._pods) == PODS:
                await self._disturb(pod)
            full = len(self._pods) == PODS
            await asyncio.sleep(self._chance.uniform(0.5, 1.5) * CHURN_SECONDS if full else 0.05)

    def _live(self, pod: Pod) -> None:
        task = asyncio.create_task(pod.live())
        self._lives.add(task)
        task.add_done_callback(self._lives.discard)
        self.soak.joins += 1

    async def _disturb(self, pod: Pod) -> None:
        match self._chance.randrange(3):
            case 0:
                await pod.leave()
            case 1:
                pod.vanish()
            case _:
                pod.cut()

    async def _restart(self, begin: float) -> None:
        for number, part in enumerate(RESTARTS):
            await asyncio.sleep(max(0.0, begin + part * self.soak.seconds - time.monotonic()))
            names = list(self.scene.operators)
            name = f"operator {names[-1 - number % len(names)]}"
            self.soak.restarts.append(time.monotonic() - begin)
            await self.scene.kill(name)
            await self.scene.start_again(name)

    # What is looked at

    def _look(self, now: float) -> None:
        for name, pod in self._pods.items():
            self._sights.setdefault(name, []).append(Sight(now, now, pod.allowed(now)))
        everybody = (*self._sights.values(), *self._watch.sights.values())
        for sights in everybody:
            while sights and sights[0].at < now - LOOK_BACK_SECONDS:
                del sights[0]
        bound = self._bound(now)
        if (most := most_at_once(everybody)) > bound * (1 + ROUNDING):
            self.soak.over_grant = max(self.soak.over_grant, most - bound)

    def _bound(self, now: float) -> float:
        """The largest max in force within what is looked at and the leases given before it."""
        since = now - LOOK_BACK_SECONDS - LATE_SECONDS
        while len(self._maxima) > 1 and self._maxima[1][0] < since:
            del self._maxima[0]
        return max(most for _, most in self._maxima)

    def _sample(self, at: float) -> None:
        for process, samples in self.soak.resident.items():
            if not samples or at >= samples[-1].at + SAMPLE_SECONDS:
                samples.append(Sample(at, resident_bytes(self.scene.pid(process))))


def resident_bytes(pid: int) -> float:
    """0 for a process that is gone."""
    try:
        return float(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE)
    except (OSError, IndexError):
        return 0.0
