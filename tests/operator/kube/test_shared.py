import asyncio

import pytest

from forefill_operator.kube.shared import SharedCalls


class Source:
    """A call that ends when it is let, and tells which of its calls it was."""

    def __init__(self) -> None:
        self.begun = 0
        self.ends: list[asyncio.Event] = []
        self.fails = False

    async def call(self) -> None:
        self.begun += 1
        end = asyncio.Event()
        self.ends.append(end)
        await end.wait()
        if self.fails:
            raise ValueError("no answer")


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_questions_during_a_call_share_the_next_one() -> None:
    shared, source = SharedCalls(), Source()
    first = asyncio.create_task(shared.make("a", source.call))
    await settle()
    later = [asyncio.create_task(shared.make("a", source.call)) for _ in range(50)]
    await settle()
    assert source.begun == 1
    source.ends[0].set()
    await first
    await settle()
    assert (source.begun, [task.done() for task in later]) == (2, [False] * 50)
    source.ends[1].set()
    await asyncio.gather(*later)
    assert source.begun == 2


async def test_other_questions_do_not_wait() -> None:
    shared, source = SharedCalls(), Source()
    tasks = [asyncio.create_task(shared.make(key, source.call)) for key in "ab"]
    await settle()
    assert source.begun == 2
    for end in source.ends:
        end.set()
    await asyncio.gather(*tasks)


async def test_who_gives_up_leaves_the_others_theirs() -> None:
    shared, source = SharedCalls(), Source()
    impatient, patient = (asyncio.create_task(shared.make("a", source.call)) for _ in range(2))
    await settle()
    impatient.cancel()
    await settle()
    source.ends[0].set()
    await patient
    assert (source.begun, impatient.cancelled()) == (1, True)


async def test_all_hear_of_a_failure_and_the_next_question_is_asked() -> None:
    shared, source = SharedCalls(), Source()
    source.fails = True
    tasks = [asyncio.create_task(shared.make("a", source.call)) for _ in range(2)]
    await settle()
    source.ends[0].set()
    for task in tasks:
        with pytest.raises(ValueError, match="no answer"):
            await task
    source.fails = False
    again = asyncio.create_task(shared.make("a", source.call))
    await settle()
    source.ends[1].set()
    await again
