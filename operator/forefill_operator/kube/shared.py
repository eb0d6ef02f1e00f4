"""Lets many that ask the same thing at once share one call, and none of them an answer older than its question."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable

Call = Callable[[], Awaitable[None]]


class SharedCalls:
    """Whoever asks while a call is under way waits for the next one, which all that came meanwhile share."""

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[None]] = {}
        self._next: dict[Hashable, asyncio.Task[None]] = {}

    async def make(self, key: Hashable, call: Call) -> None:
        """Returns when a call that began after this one's question is done; raises what it raises."""
        task = self._next.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._run(key, call, self._running.get(key)))
            # Everybody may have given up by the time it fails.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._next[key] = task
        # One that gives up leaves the others theirs.
        await asyncio.shield(task)

    async def _run(self, key: Hashable, call: Call, earlier: "asyncio.Task[None] | None") -> None:
        if earlier is not None:
            await asyncio.wait([earlier])
        self._running[key] = self._next.pop(key)
        try:
            await call()
        finally:
            del self._running[key]
