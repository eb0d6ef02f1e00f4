"""Work that starts processes ends them when it is interrupted."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

INTERRUPTED: Final = 130

T = TypeVar("T")


async def until_interrupted(work: Coroutine[Any, Any, T]) -> T:
    """The first SIGINT, SIGTERM or SIGHUP cancels the work, which then cleans up; CancelledError follows."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    return await task
