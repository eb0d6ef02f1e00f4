"""Two operators, two sidecars and a real store on loopback."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.operator.store.conftest import Server, free_port

from forefill_lab.chaos.watch import Sight, most_at_once

Plant = Any

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    folder = tmp_path / "store"
    folder.mkdir()
    server = Server(folder)
    await server.start()
    yield server
    await server.stop()


async def owners(plant: Plant, *ports: int) -> list[int]:
    """The health ports of the operators that serve the policy."""
    name = 'forefill_policy_max{policy="default/llm"}'
    return [port for port in ports if await plant.figure(port, name) > 0.0]


async def test_a_killed_owner_is_followed_and_no_request_fails_nor_token_is_given_twice(
    plant: Plant, server: Server
) -> None:
    plant.put_policy(fillRate={"base": 100, "min": 20, "max": 100})
    second, health = free_port(), free_port()
    store = f"--store={server.url}"
    operators = {
        plant.health_port: await plant.start_operator(store, "--name=one"),
        health: await plant.start_operator(store, "--name=two", port=second, health=health),
    }
    sidecars = [await plant.start_sidecar("a"), await plant.start_sidecar("b", operator_port=second)]

    async def both_are_granted() -> bool:
        rates = [await plant.allowed(sidecar) for sidecar in sidecars]
        return min(rates) > 1.0 and 90.0 < sum(rates) <= 100.0 + 1e-6

    await plant.until(both_are_granted)
    serving = await owners(plant, *operators)
    assert len(serving) == 1
    statuses: list[int] = []
    sights: dict[int, list[Sight]] = {sidecar.admin: [] for sidecar in sidecars}

    async def look(sidecar: Any) -> None:
        asked = time.monotonic()
        allowed = await plant.allowed(sidecar)
        sights[sidecar.admin].append(Sight(asked, time.monotonic(), allowed))

    async def load() -> None:
        while True:
            statuses.extend(await asyncio.gather(*(plant.get(sidecar) for sidecar in sidecars)))
            await asyncio.gather(*(look(sidecar) for sidecar in sidecars))
            await asyncio.sleep(0.1)

    async def both_have_enough() -> bool:
        """For what is offered, on the safe rate too."""
        return min([await plant.allowed(sidecar) for sidecar in sidecars]) > 30.0

    loading = asyncio.create_task(load())
    try:
        await plant.until(both_have_enough)
        statuses.clear()
        await operators.pop(serving[0]).stop(signal.SIGKILL)
        left = next(iter(operators))

        async def the_other_serves() -> bool:
            return await owners(plant, left) == [left]

        await plant.until(the_other_serves, seconds=15.0)
        await asyncio.sleep(3.0)
    finally:
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
    assert set(statuses) == {200}
    assert most_at_once(sights.values()) <= 100.0 + 1e-6
