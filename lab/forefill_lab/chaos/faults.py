"""The faults of processes and of the store. Each function returns the moment from which recovery counts."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import redis.asyncio as redis

from forefill_lab.chaos.scene import LEASE_SECONDS, Scene, SceneFailed
from forefill_lab.chaos.watch import Watch

Play = Callable[[Scene, Watch], Awaitable[float]]


@dataclass(frozen=True)
class Fault:
    """`spared` sidecars may fail while it lasts: it is them that it hits. `seen` is what users see, in words."""

    name: str
    play: Play
    seen: str
    store: bool = False
    spared: tuple[str, ...] = ()
    prepare: Callable[[Scene], Awaitable[None]] | None = None
    clean_up: Callable[[Scene], Awaitable[None]] | None = None


def killed(name: str, seconds: float) -> Play:
    """kill -9, and started again after so long."""

    async def play(scene: Scene, watch: Watch) -> float:
        await scene.kill(name)
        await asyncio.sleep(seconds)
        await scene.start_again(name)
        return time.monotonic()

    return play


async def operator_paused(scene: Scene, watch: Watch) -> float:
    scene.pause("operator one")
    await asyncio.sleep(2 * LEASE_SECONDS)
    scene.wake("operator one")
    return time.monotonic()


async def owner_killed(scene: Scene, watch: Watch) -> float:
    (owner,) = await scene.owners()
    await scene.kill(f"operator {owner}")
    killed = time.monotonic()
    await asyncio.sleep(2.0)
    await scene.start_again(f"operator {owner}")
    return killed


async def owner_paused(scene: Scene, watch: Watch) -> float:
    """For as long as another one needs to take over; then there are two that think they own the policy."""
    (owner,) = await scene.owners()
    scene.pause(f"operator {owner}")
    paused = time.monotonic()
    await asyncio.sleep(8.0)
    scene.wake(f"operator {owner}")
    return paused


async def store_slow(scene: Scene, watch: Watch) -> float:
    for _ in range(8):
        scene.pause("store")
        await asyncio.sleep(0.6)
        scene.wake("store")
        await asyncio.sleep(0.2)
    return time.monotonic()


async def store_full(scene: Scene, watch: Watch) -> float:
    async with redis.Redis(port=scene.store_port) as client:
        await client.config_set("maxmemory", 1)
        await asyncio.sleep(2 * LEASE_SECONDS)
        await client.config_set("maxmemory", 0)
    return time.monotonic()


async def store_flushed(scene: Scene, watch: Watch) -> float:
    async with redis.Redis(port=scene.store_port) as client:
        await client.flushall()
    return time.monotonic()


async def store_forbids(scene: Scene, watch: Watch) -> float:
    async with redis.Redis(port=scene.store_port) as client:
        await client.acl_setuser("default", enabled=True, nopass=True, commands=["-evalsha"])
        await asyncio.sleep(2 * LEASE_SECONDS)
        await client.acl_setuser("default", enabled=True, nopass=True, categories=["+@all"])
    return time.monotonic()


async def owner_and_store_killed(scene: Scene, watch: Watch) -> float:
    (owner,) = await scene.owners()
    await scene.kill("store")
    await scene.kill(f"operator {owner}")
    await scene.start_again("store")
    await asyncio.sleep(1.0)
    await scene.start_again(f"operator {owner}")
    if not scene.runs(f"operator {owner}"):
        raise SceneFailed("the operator did not start again")
    return time.monotonic()


FAULTS = (
    Fault("operator: kill -9, back after 1 s", killed("operator one", 1.0), "nothing: leases run on"),
    Fault("operator: away for three leases", killed("operator one", 3 * LEASE_SECONDS),
          "safe rates after a lease, then as before"),
    Fault("operator: stopped (SIGSTOP) for two leases", operator_paused, "safe rates after a lease, then as before"),
    Fault("sidecar: kill -9, back after 1 s", killed("sidecar a", 1.0), "its own pod's requests fail until it is back",
          spared=("a",)),
    Fault("owner: kill -9, back after 2 s", owner_killed, "nothing: another operator goes on from the records",
          store=True),
    Fault("owner: stopped for 8 s, then two owners", owner_paused,
          "nothing: what the old owner decides is refused by the store", store=True),
    Fault("store: kill -9, empty after 1 s", killed("store", 1.0),
          "nothing: owners know their grants and write them anew", store=True),
    Fault("store: away for three leases", killed("store", 3 * LEASE_SECONDS),
          "safe rates, `Enforced` False/StoreUnavailable", store=True),
    Fault("store: answers only now and then", store_slow, "safe rates at worst", store=True),
    Fault("store: full for two leases", store_full, "safe rates, `Enforced` False/StoreFull", store=True),
    Fault("store: flushed", store_flushed, "nothing: owners know their grants and write them anew", store=True),
    Fault("store: no permission for two leases", store_forbids, "safe rates, `Enforced` False/StoreForbids",
          store=True),
    Fault("owner and store: kill -9 together", owner_and_store_killed, "max is reserved for a lease, then as before",
          store=True),
)  # fmt: skip
