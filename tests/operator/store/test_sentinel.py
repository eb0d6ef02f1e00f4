"""A real primary, its replica and a Sentinel on loopback: what operators find when the primary dies."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from tests.operator.store.conftest import Server, free_port, server_binary

from forefill_operator.store.address import parse
from forefill_operator.store.interface import Batch, Claim, Owner, StoreFault
from forefill_operator.store.redis_store import RedisStore

KEY = "ai/llm"

pytestmark = pytest.mark.timeout(60)


@dataclass
class Watched:
    primary: Server
    replica: Server
    port: int

    def store(self) -> RedisStore:
        return RedisStore(parse(f"redis+sentinel://127.0.0.1:{self.port}/forefill"))


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    folders = [tmp_path / name for name in ("primary", "replica")]
    for folder in folders:
        folder.mkdir()
    primary = Server(folders[0], ("--repl-diskless-sync-delay", "0"))
    replica = Server(folders[1], ("--replicaof", "127.0.0.1", str(primary.port)))
    port = free_port()
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\nsentinel monitor forefill 127.0.0.1 {primary.port} 1\n"
        "sentinel down-after-milliseconds forefill 500\nsentinel failover-timeout forefill 3000\n"
    )
    sentinel: asyncio.subprocess.Process | None = None
    try:
        await primary.start()
        await replica.start()
        sentinel = await asyncio.create_subprocess_exec(
            server_binary(), str(configuration), "--sentinel",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        watched = Watched(primary, replica, port)
        await known(watched)
        print("PORTS primary", primary.port, "replica", replica.port, "sentinel", port)
        yield watched
    finally:
        for server in (primary, replica):
            await server.stop()
        if sentinel is not None:
            sentinel.kill()
            await sentinel.wait()


async def known(watched: Watched) -> None:
    """The replica has caught up, and the Sentinel has heard of it."""
    sentinel, replica = (
        Server(watched.primary.folder, port=watched.port).store()._client,
        watched.replica.store()._client,
    )
    async with asyncio.timeout(20.0):
        while not await is_linked(sentinel, replica):
            await asyncio.sleep(0.1)
    await sentinel.aclose()
    await replica.aclose()


async def is_linked(sentinel: Any, replica: Any) -> bool:
    try:
        link = (await replica.info("replication")).get("master_link_status")
        return link == "up" and bool(await sentinel.execute_command("SENTINEL", "REPLICAS", "forefill"))
    except RedisConnectionError:
        return False


async def test_what_was_recorded_is_found_after_a_failover_and_counts_as_perhaps_not_all(watched: Watched) -> None:
    store = watched.store()
    life = await store.life()
    assert await store.claim(KEY, "a", life) == Claim(1, False)
    await store.confirm(KEY, life)
    assert await store.write([Batch(KEY, Owner("a", 1), {"uid-1": b"record"})]) == [True]
    replica = watched.replica.store()
    async with asyncio.timeout(5.0):
        while not await replica.records(KEY):
            await asyncio.sleep(0.02)
    await watched.primary.stop()
    faults, began = set(), asyncio.get_running_loop().time()
    async with asyncio.timeout(20.0):
        while True:
            try:
                assert await store.write([Batch(KEY, Owner("a", 1), {"uid-2": b"record"})]) == [True]
                break
            except StoreFault as fault:
                faults.add(fault.reason)
                await asyncio.sleep(0.1)
    assert faults <= {"StoreUnavailable"}
    assert asyncio.get_running_loop().time() - began < 15.0
    assert await store.records(KEY) == {"uid-1": b"record", "uid-2": b"record"}
    # The new primary may lack what the old one had said last: owners write everything anew, and others reserve.
    assert await store.life() != life
    await store.release(KEY, Owner("a", 1))
    assert await store.claim(KEY, "b", await store.life()) == Claim(2, False)
    await replica.close()
    await store.close()
