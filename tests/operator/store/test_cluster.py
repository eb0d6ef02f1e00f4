"""A real cluster of three servers on loopback: every policy's keys on one of them, batches over all of them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.operator.store.conftest import Server, free_port

from forefill_operator.store.address import parse
from forefill_operator.store.interface import Batch, Claim, Owner, StoreFault
from forefill_operator.store.redis_store import RedisStore

KEYS = [f"ai/policy-{number}" for number in range(30)]
SLOTS = 16384

pytestmark = pytest.mark.timeout(60)


class ClusterServer(Server):
    """Talks to its like on a port of its own: 10000 above the other, the default, may be too high."""

    def __init__(self, folder: Path) -> None:
        self.bus = free_port()
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", str(self.bus))
        super().__init__(folder, options)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[list[ClusterServer]]:
    servers = []
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        servers.append(ClusterServer(folder))
    try:
        for server in servers:
            await server.start()
        await join(servers)
        yield servers
    finally:
        for server in servers:
            await server.stop()


async def join(servers: list[ClusterServer]) -> None:
    """Give each its part of the slots, and wait until all know of it."""
    clients = [server.store()._client for server in servers]
    for number, client in enumerate(clients):
        first, last = SLOTS * number // 3, SLOTS * (number + 1) // 3 - 1
        await client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        await client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for server in servers[1:]:
        await clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", server.port, server.bus)
    async with asyncio.timeout(30.0):
        for client in clients:
            while b"cluster_state:ok" not in await told(client) or b"cluster_known_nodes:3" not in await told(client):
                await asyncio.sleep(0.05)
    for client in clients:
        await client.aclose()


async def told(client: object) -> bytes:
    answer = await client.execute_command("CLUSTER INFO")  # type: ignore[attr-defined]
    return answer if isinstance(answer, bytes) else "\r\n".join(f"{k}:{v}" for k, v in answer.items()).encode()


def store_of(cluster: list[ClusterServer]) -> RedisStore:
    return RedisStore(parse("redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in cluster)))


async def test_a_cluster_keeps_owners_and_records_of_policies_on_all_its_servers(cluster: list[ClusterServer]) -> None:
    store = store_of(cluster)
    assert await store.beat("a") == ("a",)
    life = await store.life()
    assert [await store.claim(key, "a", life) for key in KEYS] == [Claim(1, False)] * len(KEYS)
    assert await store.owners(KEYS) == [Owner("a", 1)] * len(KEYS)
    await store.confirm(KEYS[0], life)
    batches = [Batch(key, Owner("a", 1), {"uid-1": key.encode(), "uid-2": b""}) for key in KEYS]
    stranger = Batch(KEYS[0], Owner("b", 1), {"uid-1": b"never"})
    assert await store.write([stranger, *batches], {"b": b"message"}) == [False, *[True] * len(KEYS)]
    assert [await store.records(key) for key in KEYS] == [{"uid-1": key.encode()} for key in KEYS]
    assert await store.keep(dict.fromkeys(KEYS, 1), "a") == set(KEYS)
    await store.release(KEYS[0], Owner("a", 1))
    assert await store.claim(KEYS[0], "b", life) == Claim(2, True)
    servers = [server.store() for server in cluster]
    assert all([await server._client.dbsize() for server in servers])
    for used in (store, *servers):
        await used.close()


async def test_operators_hear_each_other_through_a_cluster(cluster: list[ClusterServer]) -> None:
    sender, receiver = store_of(cluster), store_of(cluster)
    received: asyncio.Queue[bytes] = asyncio.Queue()
    listening = asyncio.create_task(receiver.listen("b", received.put_nowait))
    await asyncio.sleep(0.5)
    try:
        await sender.claim(KEYS[0], "a", "life")
        assert await sender.write([Batch(KEYS[0], Owner("a", 1), {}, {"b": b"two"})], {"b": b"one"}) == [True]
        assert {await asyncio.wait_for(received.get(), 5.0) for _ in range(2)} == {b"one", b"two"}
    finally:
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening
        await sender.close()
        await receiver.close()


async def test_scripts_that_one_server_forgot_are_told_again(cluster: list[ClusterServer]) -> None:
    store = store_of(cluster)
    for key in KEYS:
        await store.claim(key, "a", "life")
    batches = [Batch(key, Owner("a", 1), {"uid-1": b"record"}) for key in KEYS]
    assert await store.write(batches) == [True] * len(KEYS)
    direct = cluster[1].store()
    await direct._client.script_flush()
    assert await store.write(batches) == [True] * len(KEYS)
    await direct.close()
    await store.close()


async def test_a_server_of_a_cluster_that_ends_is_a_fault_with_a_name(cluster: list[ClusterServer]) -> None:
    store = store_of(cluster)
    for key in KEYS:
        await store.claim(key, "a", "life")
    await cluster[2].stop()
    with pytest.raises(StoreFault) as caught:
        await store.write([Batch(key, Owner("a", 1), {"uid-1": b"record"}) for key in KEYS])
    assert caught.value.reason == "StoreUnavailable"
    for server in cluster:
        await server.stop()
    for call in (lambda: store.beat("a"), store.life, lambda: store.owners(KEYS)):
        with pytest.raises(StoreFault) as caught:
            await call()
        assert caught.value.reason == "StoreUnavailable"
    await store.close()


async def test_a_cluster_that_cannot_be_found_is_a_fault_with_a_name() -> None:
    store = RedisStore(parse(f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{free_port()}"))
    with pytest.raises(StoreFault) as caught:
        await store.beat("a")
    assert caught.value.reason == "StoreUnavailable"
    await store.close()


async def test_a_server_that_is_in_no_cluster_is_a_fault_with_a_name(server: Server) -> None:
    store = RedisStore(parse(f"redis+cluster://127.0.0.1:{server.port}"))
    with pytest.raises(StoreFault) as caught:
        await store.beat("a")
    assert (caught.value.reason, "cluster" in str(caught.value).lower()) == ("StoreUnavailable", True)
    await store.close()
