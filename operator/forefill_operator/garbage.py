"""Keeps Python's collector from stopping the operator: what lives for long is looked through seldom.

Each client is some hundred objects that last, and a full collection visits all of them: half a second at 30,000
clients, which Python would begin every few intervals, since each report replaces some of them. Young objects are
collected as ever. Old ones are only when streams have ended, whose leftovers may hold on to each other.
"""

import asyncio
import gc
from collections.abc import Callable

# New objects until the young are collected, young collections until the middle-aged are; and never the old.
YOUNG, MIDDLE, OLD = 10_000, 20, 1_000_000
LOOK_SECONDS = 60.0
# A full collection is worth its pause, which goes by what is open, when this many streams have ended, and this part of
# those that are open: one that has ended holds on to some 40 KB, most of it OpenSSL's.
ENDED_STREAMS, ENDED_PART = 50, 0.5


def is_due(ended: int, open_streams: int) -> bool:
    """`ended` counts the streams that have ended since the last full collection."""
    return ended >= max(ENDED_STREAMS, ENDED_PART * open_streams)


async def collect_seldom(ended: Callable[[], int], open_streams: Callable[[], int]) -> None:
    """Until cancelled; `ended` counts streams since the start. What the start has made is not looked at again."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    collected_at = ended()
    try:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if is_due(ended() - collected_at, open_streams()):
                gc.collect()
                collected_at = ended()
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
