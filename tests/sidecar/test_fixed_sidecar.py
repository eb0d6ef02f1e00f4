"""`forefill sidecar` with a fixed bucket, as a process."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

COMMAND = [sys.executable, "-m", "forefill", "sidecar"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def sidecar(listen: int, admin: int, upstream: int, *more: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [
            *(*COMMAND, "--listen", f"127.0.0.1:{listen}", "--admin", f"127.0.0.1:{admin}", "--fill-rate", "1"),
            *("--burst", "2", "--upstream", f"http://127.0.0.1:{upstream}", *more),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", admin)) == 0:
                    break
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_it_starts_without_its_upstream_and_ends_on_sigterm() -> None:
    listen, admin = free_port(), free_port()
    with sidecar(listen, admin, free_port(), "--queue-seconds", "0") as process:
        assert httpx.get(f"http://127.0.0.1:{admin}/readyz").text == "ok\n"
        assert httpx.get(f"http://127.0.0.1:{listen}/").status_code == 502
        assert httpx.get(f"http://127.0.0.1:{listen}/").status_code == 502
        metrics = httpx.get(f"http://127.0.0.1:{admin}/metrics").text
        assert 'forefill_sidecar_upstream_failures_total{policy="local/fixed"} 2\n' in metrics
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_the_bucket_begins_full_and_then_refuses() -> None:
    listen, admin = free_port(), free_port()
    with sidecar(listen, admin, free_port(), "--queue-seconds", "0"):
        url = f"http://127.0.0.1:{admin}/v1/acquire"
        statuses = [httpx.post(url, json={}).status_code for _ in range(3)]

    assert statuses == [200, 200, 429]


def test_an_access_log_has_every_request_by_the_time_the_process_has_ended(tmp_path: Path) -> None:
    listen, admin, log = free_port(), free_port(), tmp_path / "log"
    with sidecar(listen, admin, free_port(), "--access-log", str(log)) as process:
        for path in ("/a", "/b?secret=1"):
            assert httpx.get(f"http://127.0.0.1:{listen}{path}").status_code == 502
        metrics = httpx.get(f"http://127.0.0.1:{admin}/metrics").text
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["path"], line["status"], line["outcome"]) for line in lines] == [
        ("/a", 502, "failed"),
        ("/b", 502, "failed"),
    ]
    assert 'forefill_sidecar_dropped_entries_total{to="access log"} 0\n' in metrics


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"--fill-rate": "-1"}, "--fill-rate is -1; it must be a number from 0 on, at most 1e9"),
        ({"--fill-rate": "nan"}, "--fill-rate is nan; it must be a number from 0 on, at most 1e9"),
        ({"--fill-rate": "fast"}, "--fill-rate is 'fast'; it must be a number from 0 on"),
        ({"--burst": "0"}, "--burst is 0; it must be a number above 0, at most 1e9"),
        ({"--queue-seconds": "-1"}, "--queue-seconds is -1; it must be a number from 0 on, at most 1e9"),
        ({"--listen": "8080"}, "--listen is '8080'; it must be HOST:PORT with a port from 1 to 65535"),
        ({"--listen": "127.0.0.1:99999"}, "it must be HOST:PORT with a port from 1 to 65535"),
        (
            {"--upstream": "ftp://a"},
            "--upstream: the upstream 'ftp://a' is no URL of the form http://HOST[:PORT][/PATH]",
        ),
        ({"--upstream": "http://nobody.invalid"}, "its host can't be resolved"),
        ({"--upstream": "http://127.0.0.1:70000"}, "has port 70000; allowed are 1 to 65535"),
        (
            {"--access-log": "/no/such/folder/log"},
            "--access-log is '/no/such/folder/log'; it can't be written: no such file or directory",
        ),
        ({"--otlp-endpoint": "collector:4318"}, "the OTLP endpoint is 'collector:4318'; it must be http://HOST[:PORT]"),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_status_2(arguments: dict[str, str], sentence: str) -> None:
    given = {"--listen": f"127.0.0.1:{free_port()}", "--upstream": "http://127.0.0.1:9", "--fill-rate": "1"}
    given |= {"--burst": "1"} | arguments
    done = subprocess.run(
        [*COMMAND, *(word for pair in given.items() for word in pair)], capture_output=True, text=True, timeout=20
    )

    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.startswith("forefill sidecar: ")
    assert done.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_one_sentence_and_status_2() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [
                *(*COMMAND, "--listen", f"127.0.0.1:{port}", "--upstream", "http://127.0.0.1:9"),
                *("--fill-rate", "1", "--burst", "1"),
            ],
            capture_output=True,
            text=True,
            timeout=20,
        )

    assert done.returncode == 2
    assert done.stderr == f"forefill sidecar: can't listen on 127.0.0.1:{port}: address already in use\n"
