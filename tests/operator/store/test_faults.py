"""A server that is away, full, forbidding, wrong or old: each has a name."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.operator.store.conftest import Server, free_port

from forefill_operator.store.address import parse
from forefill_operator.store.interface import Batch, Outcome, Owner, StoreFault
from forefill_operator.store.redis_store import RedisStore

KEY = "ai/llm"


async def fault(call: Callable[[], Awaitable[object]]) -> StoreFault:
    with pytest.raises(StoreFault) as caught:
        await call()
    return caught.value


def reasons(outcomes: list[Outcome]) -> list[str]:
    """What stood against each batch, nothing for those that were written."""
    return [outcome.reason if isinstance(outcome, StoreFault) else "" for outcome in outcomes]


async def test_a_server_that_forgot_the_scripts_is_told_them_again(server: Server) -> None:
    store = server.store()
    await store.claim(KEY, "a", "life")
    assert await store.write([Batch(KEY, Owner("a", 1), {"uid-1": b"first"})]) == [True]
    await store._client.script_flush()
    assert await store.write([Batch(KEY, Owner("a", 1), {"uid-1": b"second"})], {"b": b"message"}) == [True]
    assert await store.records(KEY) == {"uid-1": b"second"}
    await store.close()


async def test_nobody_listens(tmp_path: Path) -> None:
    store = Server(tmp_path).store()
    found = await fault(store.life)
    assert (found.reason, str(found).startswith("the store can't be reached: ")) == ("StoreUnavailable", True)
    await store.close()


async def test_a_server_that_ends_and_comes_back_is_used_again(server: Server) -> None:
    store = server.store()
    assert await store.beat("a") == ("a",)
    first = await store.life()
    await server.stop()
    assert (await fault(lambda: store.beat("a"))).reason == "StoreUnavailable"
    await server.start()
    assert await store.beat("a") == ("a",)
    assert await store.life() != first
    await store.close()


async def test_a_full_server_says_so_and_keeps_what_it_has(server: Server) -> None:
    store = server.store()
    await store.claim(KEY, "a", "life")
    assert await store.write([Batch(KEY, Owner("a", 1), {"uid-1": b"first"})]) == [True]
    await store._client.config_set("maxmemory", 1)
    assert reasons(await store.write([Batch(KEY, Owner("a", 1), {"uid-1": b"second"})])) == ["StoreFull"]
    await store._client.config_set("maxmemory", 0)
    assert await store.records(KEY) == {"uid-1": b"first"}
    await store.close()


async def test_a_server_that_may_evict_is_refused(server: Server) -> None:
    store = server.store()
    await store._client.config_set("maxmemory-policy", "allkeys-lru")
    await store._client.config_set("maxmemory", 100_000_000)
    found = await fault(store.life)
    assert found.reason == "StoreEvicts"
    assert str(found) == "the store's maxmemory-policy is allkeys-lru; it must be noeviction"
    await store.close()


async def test_a_user_without_rights_or_with_a_wrong_password_is_named(server: Server) -> None:
    admin = server.store()
    await admin._client.execute_command("ACL", "SETUSER", "reader", "on", ">pass", "~*", "+@read", "+@connection")
    reader, wrong = server.store("reader", "pass"), server.store("reader", "guess")
    assert (await fault(lambda: reader.beat("a"))).reason == "StoreForbids"
    assert (await fault(lambda: wrong.beat("a"))).reason == "StoreForbids"
    for store in (admin, reader, wrong):
        await store.close()


async def test_a_user_of_our_documentation_has_enough_rights(server: Server) -> None:
    admin = server.store()
    await admin._client.execute_command(
        "ACL", "SETUSER", "forefill", "on", ">pass", "~forefill:*", "&forefill:*",
        "+@connection", "+@read", "+@write", "+@scripting", "+@pubsub", "+info", "+time",
    )  # fmt: skip
    store = server.store("forefill", "pass")
    assert await store.beat("a") == ("a",)
    assert await store.life()
    await store.claim(KEY, "a", "life")
    assert await store.write([Batch(KEY, Owner("a", 1), {"uid-1": b"first"}, {"b": b"one"})], {"b": b"two"}) == [True]
    assert await store.keep({KEY: 1}, "a") == {KEY}
    assert await store.some_records(KEY, ["uid-1"]) == [b"first"]
    for used in (admin, store):
        await used.close()


async def test_a_key_of_another_kind_is_garbled(server: Server) -> None:
    store = server.store()
    await store._client.set(f"forefill:1:{{{KEY}}}:records", "text")
    await store.claim(KEY, "a", "life")
    await store.claim("ai/other", "a", "life")
    batches = [Batch(key, Owner("a", 1), {"uid-1": b"first"}) for key in (KEY, "ai/other")]
    assert reasons(await store.write(batches)) == ["StoreGarbled", ""]
    assert await store.records("ai/other") == {"uid-1": b"first"}
    assert (await fault(lambda: store.records(KEY))).reason == "StoreGarbled"
    await store._client.set(f"forefill:1:{{{KEY}}}:owner", "no epoch here")
    assert (await fault(lambda: store.owners([KEY]))).reason == "StoreGarbled"
    await store.close()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"$43\r\n# Server\r\nredis_version:2.8.24\r\nrun_id:1234\r\n", "StoreTooOld"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "StoreGarbled"),
        (b"$3\r\nabc\r\n", "StoreGarbled"),
        (b"", "StoreUnavailable"),
    ],
    ids=["old version", "another protocol", "nonsense", "silence"],
)
async def test_a_server_that_is_something_else_is_named(answer: bytes, reason: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.strip().upper() == b"INFO":
                writer.write(answer)
            elif line.strip().upper() in (b"SETINFO", b"SETNAME", b"MAINT_NOTIFICATIONS"):
                writer.write(b"+OK\r\n")
            elif line.strip().upper() == b"HELLO":
                writer.write(b"-ERR unknown command\r\n")
        writer.close()

    port = free_port()
    async with await asyncio.start_server(serve, "127.0.0.1", port):
        store = RedisStore(parse(f"redis://127.0.0.1:{port}"))
        assert (await fault(store.life)).reason == reason
        await store.close()
