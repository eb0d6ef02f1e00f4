from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from forefill_lab.cluster import commands
from forefill_lab.cluster.commands import ClusterError
from forefill_lab.cluster.progress import Progress


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_is_what_the_command_prints() -> None:
    assert commands.output(python("print(input().upper())"), stdin="word\n") == "WORD\n"


def test_a_failure_carries_the_status_and_the_last_lines() -> None:
    code = "import sys; [print(n, file=sys.stderr) for n in range(100)]; sys.exit(7)"
    with pytest.raises(ClusterError) as caught:
        commands.output(python(code))
    first, *rest = str(caught.value).splitlines()
    assert first.endswith("ended with 7:")
    assert rest == [str(number) for number in range(100 - commands.TAIL_LINES, 100)]


def test_an_absent_program_is_named() -> None:
    with pytest.raises(ClusterError, match=r"^no-such-program is not installed\.$"):
        commands.output(["no-such-program"])


def test_a_command_that_hangs_is_given_up() -> None:
    with pytest.raises(ClusterError, match=r"did not end within 0 s\.$"):
        commands.output(python("import time; time.sleep(60)"), timeout_seconds=0.2)


def test_a_watched_command_leaves_its_output_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "build.log"
    commands.watched(
        python("print('done', flush=True)"), log=log, progress=Progress(stream=io.StringIO()), name="building it"
    )
    assert log.read_text() == "done\n"


def test_a_watched_command_that_fails_names_its_log_and_shows_its_end(tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    code = "import sys; print('cannot find it', flush=True); sys.exit(3)"
    with pytest.raises(ClusterError) as caught:
        commands.watched(python(code), log=log, progress=Progress(stream=io.StringIO()), name="building it")
    assert str(caught.value) == f"building it failed (3); its log is {log}:\ncannot find it"


def test_a_step_says_when_it_begins_and_ends_and_is_summed_up() -> None:
    stream = io.StringIO()
    progress = Progress(stream=stream)
    with progress.step("Build helm"):
        progress.say("still building")
    begun, beat, ended = stream.getvalue().splitlines()
    assert begun.endswith("Build helm …")
    assert beat.endswith("still building")
    assert "Build helm: done in" in ended
    assert progress.summary().split()[:2] == ["Build", "helm"]
