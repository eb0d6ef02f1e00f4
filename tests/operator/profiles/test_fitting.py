import asyncio
import os
import random
import sys
from array import array
from collections.abc import Sequence
from math import nan
from pathlib import Path

import pytest

from forefill_operator.profiles import fitting
from forefill_operator.profiles.fit import longest
from forefill_operator.profiles.fitting import FitFailed
from forefill_operator.profiles.history import Stretch
from forefill_operator.profiles.past import Fitted
from forefill_operator.profiles.tasks import Task

pytestmark = pytest.mark.timeout(600)


def task(rates: Sequence[float]) -> Task:
    return Task.of(Stretch(array("f", rates), array("f", [nan] * len(rates))), 0.0, 10.0, "Ensemble")


async def test_each_workload_gets_a_fit_of_its_own() -> None:
    noise = random.Random(1)
    noisy = [max(noise.gauss(20.0, 3.0), 0.0) for _ in range(300)]
    found = await fitting.fit([task(noisy), task([2.0] * 300), task([nan] * 300)])
    assert [bool(each.ar or each.ma) for each in found] == [True, False, False]
    assert found[0].skills["Arima"] > 0.2
    assert found[1:] == [Fitted([], [], dict.fromkeys(found[1].skills, 0.0), found[1].best)] * 2


async def test_a_process_that_fails_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "statsmodels.py").write_text("raise ModuleNotFoundError(name='statsmodels')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    noise = random.Random(1)
    with pytest.raises(FitFailed) as caught:
        await fitting.fit([task([max(noise.gauss(20.0, 3.0), 0.0) for _ in range(300)])])
    assert str(caught.value) == "the fit ended with status 3: statsmodels is not installed"


async def test_a_process_that_cannot_be_started_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(FitFailed) as caught:
        await fitting.fit([])
    assert str(caught.value) == "the fit can't be started: No such file or directory"


async def test_a_fit_that_is_no_longer_wanted_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process hangs where it imports statsmodels, having said who it is."""
    (tmp_path / "statsmodels.py").write_text(
        f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(300)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    noise = random.Random(1)
    tasks = [task([max(noise.gauss(20.0, 3.0), 0.0) for _ in range(300)])]
    running = asyncio.create_task(fitting.fit(tasks))
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_what_is_no_task_ends_the_process_and_not_the_operator() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", fitting.MODULE, stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate(b"nonsense")
    assert (process.returncode, errors.splitlines()[-1][:19]) == (1, b"msgspec.ValidationE")


def test_the_longest_run_without_a_gap_is_fitted() -> None:
    assert longest([1.0, nan, 2.0, 3.0, nan, nan, 4.0]) == [2.0, 3.0]
    assert longest([nan]) == longest([]) == []
