"""Real processes on loopback: an operator with policies from files, sidecars that join it, an upstream."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import yaml
from aiohttp import web

STOP_SECONDS = 15.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Process:
    """A `forefill` command of this test; ended by its own id."""

    process: asyncio.subprocess.Process
    log: Path

    async def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), STOP_SECONDS)


@dataclass
class Sidecar:
    process: Process
    port: int
    admin: int


@dataclass
class Plant:
    """Everything of one test; sidecars and operator may be started and stopped at will."""

    folder: Path
    upstream: int
    operator_port: int = field(default_factory=free_port)
    health_port: int = field(default_factory=free_port)
    processes: list[Process] = field(default_factory=list)
    http: aiohttp.ClientSession = field(init=False)

    async def run(self, name: str, *arguments: str) -> Process:
        log = self.folder / f"{name}-{len(self.processes)}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "forefill", *arguments, stdout=output, stderr=output, env={**os.environ}
            )
        self.processes.append(Process(process, log))
        return self.processes[-1]

    def put_policy(self, **spec: object) -> None:
        defaults: dict[str, object] = {
            "mode": "Enforce",
            "upstream": {"url": f"http://127.0.0.1:{self.upstream}"},
            "fillRate": {"base": 50, "min": 20, "max": 100},
            "report": {"intervalSeconds": 1, "leaseSeconds": 3},
            "forecast": {"model": "SimpleSmoothing"},
        }
        manifest = {
            "apiVersion": "forefill.io/v1alpha1",
            "kind": "TokenPolicy",
            "metadata": {"name": "llm"},
            "spec": {**defaults, **spec},
        }
        (self.folder / "policies").mkdir(exist_ok=True)
        (self.folder / "policies" / "llm.yaml").write_text(yaml.safe_dump(manifest))

    def remove_policy(self) -> None:
        (self.folder / "policies" / "llm.yaml").unlink()

    async def start_operator(self, *more: str, port: int | None = None, health: int | None = None) -> Process:
        """`port` and `health` are for another operator beside the first."""
        health = health or self.health_port
        process = await self.run(
            "operator",
            "operator",
            f"--policies={self.folder / 'policies'}",
            f"--listen=127.0.0.1:{port or self.operator_port}",
            f"--state={self.folder / 'state'}",
            f"--health=127.0.0.1:{health}",
            *more,
        )
        await self.until(lambda: self.answers(f"http://127.0.0.1:{health}/readyz"))
        return process

    async def start_sidecar(self, name: str, *more: str, operator_port: int | None = None) -> Sidecar:
        port, admin = free_port(), free_port()
        (self.folder / f"{name}.token").write_text(f"token-{name}\n")
        process = await self.run(
            name,
            "sidecar",
            f"--listen=127.0.0.1:{port}",
            f"--upstream=http://127.0.0.1:{self.upstream}",
            f"--admin=127.0.0.1:{admin}",
            f"--operator=https://127.0.0.1:{operator_port or self.operator_port}",
            "--policy=llm",
            f"--token-file={self.folder / f'{name}.token'}",
            f"--ca-file={self.folder / 'state' / 'ca.crt'}",
            "--grace-seconds=2",
            *more,
        )
        await self.until(lambda: self.answers(f"http://127.0.0.1:{admin}/readyz"))
        return Sidecar(process, port, admin)

    async def answers(self, url: str) -> bool:
        try:
            async with self.http.get(url) as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def get(self, sidecar: Sidecar) -> int:
        async with self.http.get(f"http://127.0.0.1:{sidecar.port}/") as response:
            await response.read()
            return response.status

    async def figure(self, port: int, name: str) -> float:
        """One sample of a metrics page, by its name and labels as they stand there."""
        async with self.http.get(f"http://127.0.0.1:{port}/metrics") as response:
            text = await response.text()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    async def allowed(self, sidecar: Sidecar) -> float:
        return await self.figure(sidecar.admin, 'forefill_sidecar_allowed_tokens_per_second{policy="default/llm"}')

    async def over_grant(self) -> float:
        return await self.figure(self.health_port, 'forefill_policy_over_grant{policy="default/llm"}')

    async def until(self, condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(0.05)


async def _serve(request: web.Request) -> web.Response:
    return web.Response(text="served")


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Plant]:
    application = web.Application()
    application.router.add_get("/", _serve)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    state = tmp_path / "state"
    state.mkdir()
    (state / "tokens.csv").write_text("".join(f"token-{name},{name},uid-{name}\n" for name in "abc"))
    plant = Plant(tmp_path, runner.addresses[0][1])
    plant.put_policy()
    plant.http = aiohttp.ClientSession()
    try:
        yield plant
    finally:
        await plant.http.close()
        for process in plant.processes:
            await process.stop(signal.SIGKILL)
        await runner.cleanup()
