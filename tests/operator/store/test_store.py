"""What every store does, checked on each of them."""

import asyncio
import contextlib

from forefill_operator.store import interface
from forefill_operator.store.interface import Claim, Owner, Store, Write

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
    write = Write("uid-1", b"first")
    assert await store.write(KEY, Owner("b", 1), [write]) is False
    assert await store.write(KEY, Owner("a", 2), [write]) is False
    assert await store.records(KEY) == {}
    assert await store.write(KEY, Owner("a", 1), [write, Write("uid-2", b"\x00\xff")]) is True
    assert await store.records(KEY) == {"uid-1": b"first", "uid-2": b"\x00\xff"}
    assert await store.some_records(KEY, ["uid-1", "uid-3"]) == [b"first", b""]


async def test_an_empty_record_is_forgotten(store: Store) -> None:
    await store.claim(KEY, "a", "life")
    await store.write(KEY, Owner("a", 1), [Write("uid-1", b"first"), Write("uid-2", b"second")])
    assert await store.write(KEY, Owner("a", 1), [Write("uid-1")]) is True
    assert await store.records(KEY) == {"uid-2": b"second"}


async def test_records_of_one_policy_are_not_anothers(store: Store) -> None:
    await store.claim(KEY, "a", "life")
    await store.write(KEY, Owner("a", 1), [Write("uid-1", b"first")])
    assert await store.records("ai/other") == {}


async def test_an_owner_that_keeps_its_policies_has_them_past_their_time(store: Store) -> None:
    await store.claim(KEY, "a", "life")
    await store.claim("ai/other", "a", "life")
    ends = asyncio.get_running_loop().time() + interface.OWNER_SECONDS + 0.5
    while asyncio.get_running_loop().time() < ends:
        assert await store.keep({KEY: 1}, "a") == {KEY}
        await asyncio.sleep(0.25)
    assert await store.owners([KEY, "ai/other"]) == [Owner("a", 1), None]
    assert await store.keep({KEY: 1, "ai/other": 1}, "a") == {KEY}


async def test_what_is_written_for_another_operator_reaches_it(store: Store) -> None:
    received: asyncio.Queue[bytes] = asyncio.Queue()
    listening = asyncio.create_task(store.listen("b", received.put_nowait))
    try:
        await asyncio.sleep(0.2)
        await store.claim(KEY, "a", "life")
        await store.publish("b", [b"one", b"two"])
        assert await store.write(KEY, Owner("a", 1), [Write("uid-1", b"r", "b", b"three")]) is True
        assert await store.write(KEY, Owner("a", 9), [Write("uid-1", b"r", "b", b"never")]) is False
        await store.publish("nobody", [b"lost"])
        assert [await asyncio.wait_for(received.get(), 5.0) for _ in range(3)] == [b"one", b"two", b"three"]
        assert received.empty()
    finally:
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening
