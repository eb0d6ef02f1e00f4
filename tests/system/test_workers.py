"""One operator command as several processes on one address, with a real store."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.operator.store.conftest import Server, free_port

Plant = Any

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    folder = tmp_path / "store"
    folder.mkdir()
    server = Server(folder)
    await server.start()
    yield server
    await server.stop()


def two_free_ports() -> int:
    """The first of two neighbours."""
    while True:
        port = free_port()
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


async def test_workers_share_an_address_and_one_that_is_killed_comes_back(plant: Plant, server: Server) -> None:
    plant.put_policy(fillRate={"base": 100, "min": 20, "max": 100})
    health = two_free_ports()
    parent = await plant.start_operator(f"--store={server.url}", "--name=node", "--workers=2", health=health)
    sidecars = [await plant.start_sidecar(name) for name in ("a", "b", "c")]

    async def all_are_granted() -> bool:
        rates = [await plant.allowed(sidecar) for sidecar in sidecars]
        return min(rates) > 1.0 and 90.0 < sum(rates) <= 100.0 + 1e-6

    async def streams() -> int:
        return round(sum([await plant.figure(health + worker, "forefill_operator_streams") for worker in (0, 1)]))

    await plant.until(lambda: plant.answers(f"http://127.0.0.1:{health + 1}/readyz"))
    await plant.until(all_are_granted)
    assert await streams() == 3
    workers = psutil.Process(parent.process.pid).children()
    assert len(workers) == 2
    workers[0].kill()
    await plant.until(lambda: plant.answers(f"http://127.0.0.1:{health}/readyz"))
    await plant.until(all_are_granted)
    assert [await plant.get(sidecar) for sidecar in sidecars] == [200, 200, 200]
    left = psutil.Process(parent.process.pid).children()
    assert len(left) == 2
    await parent.stop(signal.SIGTERM)
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in left)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "--workers needs --store: operators that share an address share the policies, too"),
        (["--store=redis://127.0.0.1:1", "--listen=127.0.0.1:0"], "--listen needs a port that all --workers share"),
        (
            ["--store=redis://127.0.0.1:1", "--listen=127.0.0.1:4"],
            "--health HOST:PORT is required with --workers: each worker has its own port, from this one up",
        ),
        (["--workers=many"], "argument --workers: is 'many', but must be a number from 1 to 64"),
    ],
)
async def test_workers_that_could_not_share_are_refused(options: list[str], sentence: str, tmp_path: Path) -> None:
    status, error = await operator(tmp_path, "--workers=2", *options)
    assert status == 2
    assert sentence in error


async def test_a_first_worker_that_can_not_start_says_why_and_is_not_started_again(tmp_path: Path) -> None:
    options = [
        "--store=redis://127.0.0.1:1",
        f"--listen=127.0.0.1:{free_port()}",
        f"--health=127.0.0.1:{two_free_ports()}",
    ]
    status, error = await operator(tmp_path / "nowhere", "--workers=2", *options)
    assert status == 2
    assert (error.count("forefill operator: "), error.count("\n")) == (1, 1)


async def operator(policies: Path, *options: str) -> tuple[int | None, str]:
    """Its exit status and what it says when it can't go on."""
    folders = (f"--policies={policies}", f"--state={policies.parent / 'state'}")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "forefill", "operator", *folders, *options,
        stderr=asyncio.subprocess.PIPE, env=dict(os.environ),
    )  # fmt: skip
    _, error = await asyncio.wait_for(process.communicate(), 30.0)
    return process.returncode, error.decode()
