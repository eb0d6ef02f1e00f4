"""One phase: start its parts, play the three traces through them, watch, and sum up."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from forefill_lab.demo import fleet, scrape, traces
from forefill_lab.demo.fleet import CAPACITY, QUEUE_SECONDS, SERVICE_SECONDS, Fleet
from forefill_lab.demo.load import Load
from forefill_lab.demo.processes import DemoFailed, Processes
from forefill_lab.demo.results import Result, result, unanswered
from forefill_lab.demo.sample import Sample, beginning, sample_of

# Buckets and forecasts settle before anything counts; refused requests are known this long after the last was due.
WARM_UP_SECONDS, DRAIN_SECONDS = 5.0, QUEUE_SECONDS + 2.0
SAMPLE_SECONDS = 0.5
# Over-grant is read as often as the operator can change its mind.
OPERATOR_SECONDS = 0.1

Starting = Callable[[Processes, Path], Awaitable[Fleet]]
Show = Callable[[Sequence[Sample]], None]


@dataclass(frozen=True, slots=True)
class Phase:
    """`key` is its name in --json."""

    key: str
    title: str
    start: Starting


PHASES = (
    Phase("static", "equal static buckets", fleet.static),
    Phase("forefill", "Forefill", fleet.forefill),
)


async def run(phase: Phase, arrivals: Mapping[str, Sequence[float]], seconds: float, show: Show) -> Result:
    """Play `arrivals` (by client) through the phase's parts; `show` gets the samples so far, twice a second.

    Raises DemoFailed. Leaves no process and no file.
    """
    with tempfile.TemporaryDirectory(prefix="forefill-demo-") as folder:
        processes = Processes(Path(folder))
        try:
            parts = await phase.start(processes, Path(folder))
            return await _measure(parts, processes, arrivals, seconds, show)
        finally:
            await processes.end()


async def _measure(
    parts: Fleet, processes: Processes, arrivals: Mapping[str, Sequence[float]], seconds: float, show: Show
) -> Result:
    zero = asyncio.get_running_loop().time() + WARM_UP_SECONDS
    loads = [Load(trace.name, parts.entries[trace.name], zero) for trace in traces.CLIENTS]
    over_grants = [0.0]
    watchers: list[asyncio.Future[None]] = [asyncio.create_task(_watch(parts, loads, processes, zero, show))]
    if parts.operator is not None:
        watchers.append(asyncio.create_task(_read_over_grant(parts.operator, over_grants)))
    playing = asyncio.create_task(_play(loads, arrivals))
    try:
        await asyncio.wait([playing, *watchers], return_when=asyncio.FIRST_COMPLETED)
        # A watcher only ends by failing.
        await next(task for task in (*watchers, playing) if task.done())
    finally:
        for task in (playing, *watchers):
            task.cancel()
        await asyncio.gather(playing, *watchers, return_exceptions=True)
    return _summed_up(loads, seconds, max(over_grants))


async def _play(loads: Sequence[Load], arrivals: Mapping[str, Sequence[float]]) -> None:
    await asyncio.gather(*(load.play(arrivals[load.name]) for load in loads))
    await asyncio.gather(*(load.drain(DRAIN_SECONDS) for load in loads))


def _summed_up(loads: Sequence[Load], seconds: float, over_grant: float) -> Result:
    outcomes = [outcome for load in loads for outcome in load.outcomes]
    missing = unanswered(outcomes) + sum(load.pending for load in loads)
    if missing:
        raise DemoFailed(f"{missing} of {sum(load.sent for load in loads)} requests were neither served nor refused")
    return result(outcomes, seconds, CAPACITY, SERVICE_SECONDS, over_grant)


async def _watch(parts: Fleet, loads: Sequence[Load], processes: Processes, zero: float, show: Show) -> None:
    loop = asyncio.get_running_loop()
    samples: list[Sample] = []
    before = beginning(-WARM_UP_SECONDS, [load.name for load in loads])
    while True:
        at = zero + before.at + SAMPLE_SECONDS
        await asyncio.sleep(max(0.0, at - loop.time()))
        processes.check()
        try:
            figures = await asyncio.gather(*(scrape.metrics(parts.admins[load.name]) for load in loads))
        except OSError as error:
            raise DemoFailed(f"a sidecar's metrics can't be read: {error}") from None
        before = sample_of(before.at + SAMPLE_SECONDS, loads, figures, before)
        samples.append(before)
        show(samples)


async def _read_over_grant(port: int, over_grants: list[float]) -> None:
    while True:
        try:
            over_grants.append((await scrape.metrics(port))["forefill_policy_over_grant"])
        except OSError as error:
            raise DemoFailed(f"the operator's metrics can't be read: {error}") from None
        except KeyError:
            raise DemoFailed("the operator's metrics say nothing of forefill_policy_over_grant") from None
        await asyncio.sleep(OPERATOR_SECONDS)
