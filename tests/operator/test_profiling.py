import asyncio
import os
import signal

import pytest

from forefill_operator.profiling import Profiler


def busy() -> list[int]:
    return [number * number for number in range(200_000)]


async def test_a_signal_brings_time_and_memory_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "forefill.profile")
    profiler = Profiler(seconds=0.2)
    profiler.on_signal()
    os.kill(os.getpid(), signal.SIGUSR2)
    kept = []
    for _ in range(10):
        await asyncio.sleep(0.05)
        os.kill(os.getpid(), signal.SIGUSR2)
        kept.append(busy())
        if "memory:" in caplog.text:
            break
    asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR2)
    text = caplog.text
    assert "profiling for 0 s" in text
    assert "(busy)" in text
    assert "test_profiling.py" in text.partition("memory:")[2]
    assert len(kept) > 1
