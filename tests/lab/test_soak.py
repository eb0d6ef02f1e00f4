import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from tests.lab.test_demo_command import processes_of


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_soak_that_is_interrupted_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    soak = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "forefill_lab.soak", "--minutes", "1",
        env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(30.0):
        while len(processes_of(tmp_path)) < 4:
            await asyncio.sleep(0.1)
        soak.send_signal(number)
        _, error = await soak.communicate()
    assert (soak.returncode, error) == (130, b"soak: interrupted; all its processes have ended\n")
    assert processes_of(tmp_path) == []
    assert os.listdir(tmp_path) == []
