from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from forefill_lab.cluster import processes
from forefill_lab.cluster.processes import Process, Stat

SLEEP = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
)


def launch(state: Path, code: str) -> Process:
    return processes.start(
        "sleeper",
        Path(sys.executable),
        ["-c", code],
        state=state,
        records=state / "processes",
        logs=state / "logs",
        extra={"FLAVOUR": "mint"},
    )


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    processes.end(processes.marked(tmp_path), tmp_path, grace_seconds=0.1)


def test_fields_of_a_name_with_spaces_and_parentheses_are_counted_after_it() -> None:
    text = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1000"
    assert processes.parse_stat(text) == Stat(state="S", started=987654)


def test_a_started_process_is_recorded_alive_and_marked(state: Path) -> None:
    process = launch(state, SLEEP)
    assert processes.recorded(state / "processes") == [process]
    assert processes.alive(process)
    assert processes.marked(state) == [process.pid]
    assert processes.command_name(process.pid) == "sleeper"


def test_a_started_process_leads_a_session_of_its_own(state: Path) -> None:
    process = launch(state, SLEEP)
    assert os.getsid(process.pid) == process.pid


def test_output_and_errors_go_to_the_log(state: Path) -> None:
    code = "import os, sys; print(os.environ['FLAVOUR'], flush=True); print('oops', file=sys.stderr)"
    process = launch(state, code)
    os.waitpid(process.pid, 0)
    assert (state / "logs" / "sleeper.log").read_text() == "mint\noops\n"


def test_an_ended_process_is_not_alive_even_as_a_zombie(state: Path) -> None:
    process = launch(state, "pass")
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not processes.alive(process)
    os.waitpid(process.pid, 0)
    assert not processes.alive(process)


@pytest.mark.parametrize("change", [{"started": 1}, {"boot": "another"}])
def test_another_process_under_a_recorded_id_is_not_taken_for_it(state: Path, change: dict[str, object]) -> None:
    process = launch(state, SLEEP)
    assert not processes.alive(dataclasses.replace(process, **change))  # type: ignore[arg-type]


def test_ending_waits_until_the_process_is_gone(state: Path) -> None:
    process = launch(state, SLEEP)
    processes.end([process.pid], state, grace_seconds=10)
    assert not processes.alive(process)
    assert processes.marked(state) == []


def test_a_process_deaf_to_the_polite_signal_is_killed(state: Path) -> None:
    process = launch(state, STUBBORN)
    while "deaf" not in (state / "logs" / "sleeper.log").read_text():
        pass
    processes.end([process.pid], state, grace_seconds=0.2)
    assert processes.marked(state) == []


def test_children_of_a_started_process_are_found_by_the_mark(state: Path) -> None:
    code = f"import subprocess; subprocess.Popen([{sys.executable!r}, '-c', {SLEEP!r}])"
    parent = launch(state, code)
    os.waitpid(parent.pid, 0)
    (child,) = processes.marked(state)
    assert child != parent.pid
    processes.end([child], state, grace_seconds=10)
    assert processes.marked(state) == []


def test_a_process_of_somebody_else_is_never_ended(state: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as stranger:
        processes.end([stranger.pid], state, grace_seconds=0)
        assert stranger.poll() is None
        stranger.send_signal(signal.SIGKILL)


def test_the_mark_of_a_cluster_elsewhere_is_not_ours(state: Path, tmp_path: Path) -> None:
    process = launch(state, SLEEP)
    processes.end([process.pid], tmp_path / "elsewhere", grace_seconds=0)
    assert processes.alive(process)


def test_ids_without_a_process_are_passed_over(state: Path) -> None:
    process = launch(state, "pass")
    os.waitpid(process.pid, 0)
    processes.end([process.pid], state, grace_seconds=0)
    assert not processes.bears_mark(process.pid, state)


def test_a_component_is_recognised_from_the_moment_it_is_started(state: Path) -> None:
    started = [launch(state, SLEEP) for _ in range(40)]
    assert [process for process in started if not processes.bears_mark(process.pid, state)] == []
