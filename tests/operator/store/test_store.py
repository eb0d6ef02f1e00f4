"""What every store does, checked on each of them."""

import asyncio
import contextlib

from forefill_operator.store import interface
from forefill_operator.store.interface import Batch, Claim, Owner, Store

KEY = "ai/llm"


async def test_operators_that_beat_know_of_each_other(store: Store) -> None:
    assert await store.beat("b") == ("b",)
    assert await store.beat("a") == ("a", "b")
    await store.leave("b")
    assert await store.beat("a") == ("a",)


async def test_a_policy_has_one_owner_at_a_time(store: Store) -> None:
    life = await store.life()
    assert await store.owners([KEY, "ai/other"]) == [None, None]
    assert await store.claim(KEY, "a", life) == Claim(1, False)
    assert await store.claim(KEY, "b", life) is None
    assert await store.owners([KEY, "ai/other"]) == [Owner("a", 1), None]


async def test_a_name_that_begins_like_the_owners_is_not_the_owner(store: Store) -> None:
    await store.claim(KEY, "operator-10", "life")
    assert await store.claim(KEY, "operator-1", "life") is None


async def test_a_released_policy_goes_to_the_next_under_a_higher_epoch(store: Store) -> None:
    life = await store.life()
    await store.claim(KEY, "a", life)
    await store.release(KEY, Owner("b", 1))
    assert await store.owners([KEY]) == [Owner("a", 1)]
    await store.release(KEY, Owner("a", 1))
    assert await store.claim(KEY, "b", life) == Claim(2, False)


async def test_records_count_as_whole_only_in_the_life_in_which_somebody_said_so(store: Store) -> None:
    life = await store.life()
    await store.claim(KEY, "a", life)
    await store.confirm(KEY, life)
    assert await store.claim(KEY, "a", life) == Claim(2, True)
    assert await store.claim(KEY, "a", "another life") == Claim(3, False)


async def test_only_the_owner_of_this_epoch_may_write(store: Store) -> None:
    await store.claim(KEY, "a", "life")
    records = {"uid-1": b"first", "uid-2": b"\x00\xff"}
    assert await store.write([Batch(KEY, Owner("b", 1), records), Batch(KEY, Owner("a", 2), records)]) == [False, False]
    assert await store.records(KEY) == {}
    assert await store.write([Batch(KEY, Owner("a", 1), records)]) == [True]
    assert await store.records(KEY) == {"uid-1": b"first", "uid-2": b"\x00\xff"}
    assert await store.some_records(KEY, ["uid-1", "uid-3"]) == [b"first", b""]


async def test_an_empty_record_is_forgotten(store: Store) -> None:
    await store.claim(KEY, "a", "life")
    await store.write([Batch(KEY, Owner("a", 1), {"uid-1": b"first", "uid-2": b"second"})])
    assert await store.write([Batch(KEY, Owner("a", 1), {"uid-1": b""})]) == [True]
    assert await store.records(KEY) == {"uid-2": b"second"}


async def test_records_of_one_policy_are_not_anothers(store: Store) -> None:
    await store.claim(KEY, "a", "life")
    await store.write([Batch(KEY, Owner("a", 1), {"uid-1": b"first"})])
    assert await store.records("ai/other") == {}


async def test_batches_of_many_policies_are_written_together_each_by_its_own_owner(store: Store) -> None:
    keys = [f"ai/policy-{number}" for number in range(300)]
    for key in keys[::2]:
        await store.claim(key, "a", "life")
    batches = [Batch(key, Owner("a", 1), {"uid-1": key.encode()}) for key in keys]
    assert await store.write(batches) == [number % 2 == 0 for number in range(300)]
    assert [await store.some_records(key, ["uid-1"]) for key in keys[:3]] == [[b"ai/policy-0"], [b""], [b"ai/policy-2"]]


async def test_a_batch_holds_as_many_records_as_a_policy_has_clients(store: Store) -> None:
    await store.claim(KEY, "a", "life")
    records = {f"uid-{number}": b"record" for number in range(20_000)}
    assert await store.write([Batch(KEY, Owner("a", 1), records)]) == [True]
    assert await store.records(KEY) == records
    assert await store.write([Batch(KEY, Owner("a", 1), dict.fromkeys(records, b""))]) == [True]
    assert await store.records(KEY) == {}


async def test_an_owner_that_keeps_its_policies_has_them_past_their_time(store: Store) -> None:
    await store.claim(KEY, "a", "life")
    await store.claim("ai/other", "a", "life")
    ends = asyncio.get_running_loop().time() + interface.OWNER_SECONDS + 0.5
    while asyncio.get_running_loop().time() < ends:
        assert await store.keep({KEY: 1}, "a") == {KEY}
        await asyncio.sleep(0.25)
    assert await store.owners([KEY, "ai/other"]) == [Owner("a", 1), None]
    assert await store.keep({KEY: 1, "ai/other": 1}, "a") == {KEY}


async def test_what_is_owned_may_change_while_the_store_is_asked_to_keep_it(store: Store) -> None:
    await store.claim(KEY, "a", "life")
    owned = {KEY: 1}
    keeping = asyncio.create_task(store.keep(owned, "a"))
    await asyncio.sleep(0)
    owned.clear()
    assert await keeping == {KEY}


async def test_what_is_written_for_another_operator_reaches_it(store: Store) -> None:
    received: asyncio.Queue[bytes] = asyncio.Queue()
    listening = asyncio.create_task(store.listen("b", received.put_nowait))
    try:
        await asyncio.sleep(0.2)
        await store.claim(KEY, "a", "life")
        assert await store.write([], {"b": b"one"}) == []
        writes = [Batch(KEY, Owner("a", 9), {}, {"b": b"never"}), Batch(KEY, Owner("a", 1), {}, {"b": b"three"})]
        assert await store.write(writes, {"b": b"two", "nobody": b"lost"}) == [False, True]
        assert [await asyncio.wait_for(received.get(), 5.0) for _ in range(3)] == [b"one", b"two", b"three"]
        assert received.empty()
    finally:
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening
