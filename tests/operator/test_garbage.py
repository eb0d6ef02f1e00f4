import asyncio
import gc

import pytest

from forefill_operator import garbage


@pytest.mark.parametrize(
    ("ended", "open_streams", "due"),
    [(49, 0, False), (50, 0, True), (1000, 2000, True), (1000, 2001, False), (15_000, 30_000, True)],
)
def test_old_objects_are_collected_when_enough_streams_have_ended(ended: int, open_streams: int, due: bool) -> None:
    assert garbage.is_due(ended, open_streams) is due


async def _beside_a_loop() -> tuple[int, int, int]:
    task = asyncio.create_task(garbage.collect_seldom(lambda: 0, lambda: 0))
    await asyncio.sleep(0)
    meanwhile = gc.get_threshold()
    task.cancel()
    await asyncio.wait([task])
    return meanwhile


def test_the_collector_is_as_it_was_when_the_operator_has_stopped() -> None:
    before = gc.get_threshold()
    assert asyncio.run(_beside_a_loop()) == (garbage.YOUNG, garbage.MIDDLE, garbage.OLD)
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
