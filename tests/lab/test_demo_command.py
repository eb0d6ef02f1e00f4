import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from forefill_lab.demo import command

DEMO = (sys.executable, "-m", "forefill", "demo")
FIGURES = {
    "offered",
    "served",
    "on_time_share",
    "wait_p95_seconds",
    "rejected",
    "capacity_used",
    "over_grant",
}


def processes_of(folder: Path) -> list[int]:
    """Processes whose environment names this folder as theirs for temporary files."""
    mark = f"TMPDIR={folder}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_both_phases_run_on_real_parts_and_answer_the_same_requests(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    ran = subprocess.run(
        [*DEMO, "--seconds", "2", "--json", "--picture", str(tmp_path / "demo.svg")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr.count("Traceback")) == (0, 0), ran.stderr
    results = json.loads(ran.stdout)
    assert list(results) == ["static", "forefill"]
    for result in results.values():
        assert set(result) == FIGURES
        assert result["offered"] == result["served"] + result["rejected"] > 0
        assert result["over_grant"] == 0.0
    assert results["static"]["offered"] == results["forefill"]["offered"]
    assert (tmp_path / "demo.svg").read_text().startswith("<svg")
    assert [path.name for path in tmp_path.iterdir()] == ["demo.svg"]
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_everything_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    demo = await asyncio.create_subprocess_exec(
        *DEMO, "--seconds", "60", env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert demo.stdout is not None
    while b"used" not in await demo.stdout.readline():
        continue
    assert len(processes_of(tmp_path)) == 5
    demo.send_signal(number)
    _, error = await demo.communicate()
    assert (demo.returncode, error) == (130, b"forefill demo: interrupted; all its processes have ended\n")
    assert processes_of(tmp_path) == []
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("soon", "argument --seconds: is 'soon', but must be a number from 2 to 600"),
        ("1", "argument --seconds: is 1, but must be a number from 2 to 600"),
        ("nan", "argument --seconds: is nan, but must be a number from 2 to 600"),
    ],
)
def test_seconds_that_can_not_be_used_are_named(text: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(["--seconds", text])
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err


def test_the_help_defines_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--help"])
    words = capsys.readouterr().out.split()
    assert set(words) >= FIGURES
