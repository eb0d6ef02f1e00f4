import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

Plant = Any

# With nobody else there a client gets the whole maximum, of which half is the most that is ever safe.
ALL_OF_IT = {"base": 100, "min": 20, "max": 100}

pytestmark = pytest.mark.timeout(120)


def near(get: Callable[[], Awaitable[float]], low: float, high: float) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return low <= await get() <= high

    return check


async def test_the_rate_follows_the_demand_and_a_change_of_the_policy(plant: Plant) -> None:
    await plant.start_operator()
    busy, idle = await plant.start_sidecar("a"), await plant.start_sidecar("b")
    assert await plant.get(busy) == 200

    async def load() -> None:
        while True:
            await asyncio.gather(*(plant.get(busy) for _ in range(10)))

    loading = asyncio.create_task(load())
    try:
        await plant.until(near(lambda: plant.allowed(busy), 80.0, 100.0))
        assert await plant.allowed(idle) < 20.0
        plant.put_policy(fillRate={"base": 10, "min": 10, "max": 40})
        await plant.until(near(lambda: plant.allowed(busy), 1.0, 40.0), seconds=5.0)
        await plant.until(near(plant.over_grant, 0.0, 0.0), seconds=5.0)
    finally:
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)


async def test_an_operator_killed_under_load_drops_no_request_and_never_over_grants(plant: Plant) -> None:
    operator = await plant.start_operator()
    sidecars = [await plant.start_sidecar(name) for name in "ab"]
    await plant.until(near(lambda: plant.allowed(sidecars[0]), 1.0, 100.0))
    statuses: list[int] = []
    over_grants: list[float] = []

    async def load() -> None:
        while True:
            statuses.extend(await asyncio.gather(*(plant.get(sidecar) for sidecar in sidecars)))
            await asyncio.sleep(0.2)

    loading = asyncio.create_task(load())
    try:
        await asyncio.sleep(2.0)
        assert await operator.stop(signal.SIGKILL) == -signal.SIGKILL
        await asyncio.sleep(2.0)
        await plant.start_operator()
        for _ in range(60):
            over_grants.append(await plant.over_grant())
            await asyncio.sleep(0.1)
        await plant.until(
            near(lambda: plant.figure(plant.health_port, 'forefill_policy_clients{policy="default/llm"}'), 2.0, 2.0)
        )
    finally:
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
    assert set(statuses) == {200}
    assert set(over_grants) == {0.0}


async def test_without_an_operator_the_lease_ends_at_the_safe_rate(plant: Plant) -> None:
    plant.put_policy(fillRate=ALL_OF_IT)
    operator = await plant.start_operator()
    sidecar = await plant.start_sidecar("a")
    await plant.until(near(lambda: plant.allowed(sidecar), 90.0, 100.0))
    await operator.stop()
    await plant.until(near(lambda: plant.allowed(sidecar), 40.0, 51.0), seconds=10.0)
    assert await plant.figure(sidecar.admin, 'forefill_sidecar_lease_state{policy="default/llm",state="active"}') == 0.0
    assert await plant.get(sidecar) == 200


async def test_a_deleted_policy_lets_the_pod_pass(plant: Plant) -> None:
    plant.put_policy(fillRate={"base": 1, "min": 1, "max": 1}, queue={"maxWaitSeconds": 0})
    await plant.start_operator()
    sidecar = await plant.start_sidecar("a")
    await plant.until(near(lambda: plant.allowed(sidecar), 0.5, 1.0))
    assert 429 in [await plant.get(sidecar) for _ in range(20)]
    plant.remove_policy()
    state = 'forefill_sidecar_lease_state{policy="default/llm",state="abandoned"}'
    await plant.until(near(lambda: plant.figure(sidecar.admin, state), 1.0, 1.0))
    assert {await plant.get(sidecar) for _ in range(50)} == {200}


async def test_a_policy_deleted_while_the_operator_was_away_lets_the_pod_pass_too(plant: Plant) -> None:
    operator = await plant.start_operator()
    sidecar = await plant.start_sidecar("a")
    await plant.until(near(lambda: plant.allowed(sidecar), 1.0, 100.0))
    await operator.stop()
    plant.remove_policy()
    await plant.start_operator()
    state = 'forefill_sidecar_lease_state{policy="default/llm",state="abandoned"}'
    await plant.until(near(lambda: plant.figure(sidecar.admin, state), 1.0, 1.0))


async def test_a_restarted_sidecar_goes_on_with_the_lease_it_kept(plant: Plant) -> None:
    plant.put_policy(fillRate=ALL_OF_IT)
    operator = await plant.start_operator()
    state = f"--state={plant.folder / 'sidecar-state'}"
    (plant.folder / "sidecar-state").mkdir()
    sidecar = await plant.start_sidecar("a", state)
    await plant.until(near(lambda: plant.allowed(sidecar), 90.0, 100.0))
    await plant.until(lambda: _exists(plant.folder / "sidecar-state" / "assignments.msgpack"))
    await operator.stop(signal.SIGKILL)
    await sidecar.process.stop(signal.SIGKILL)
    again = await plant.start_sidecar("a", state)
    await plant.until(near(lambda: plant.allowed(again), 40.0, 51.0), seconds=10.0)


async def _exists(path: Any) -> bool:
    return bool(path.exists())


async def test_a_stopped_sidecar_frees_its_grant_at_once(plant: Plant) -> None:
    plant.put_policy(fillRate=ALL_OF_IT)
    await plant.start_operator()
    sidecar = await plant.start_sidecar("a")
    await plant.until(near(lambda: plant.allowed(sidecar), 90.0, 100.0))
    assert await sidecar.process.stop() == 0
    held = 'forefill_policy_held{policy="default/llm"}'
    await plant.until(near(lambda: plant.figure(plant.health_port, held), 0.0, 0.0), seconds=2.0)
