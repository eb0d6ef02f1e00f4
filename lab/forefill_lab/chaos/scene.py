"""The stage of one fault: real processes on loopback, started here and ended here."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from forefill_lab.chaos.balancer import Balancer
from forefill_lab.demo import scrape
from forefill_lab.demo.processes import free_ports

POLICY = "default/llm"
MAX = 100.0
INTERVAL_SECONDS, LEASE_SECONDS = 1.0, 3.0
READY_SECONDS = 20.0
SIDECARS = ("a", "b", "c")


class Unplayable(Exception):
    """The fault can't be made here; the sentence says why."""


class SceneFailed(Exception):
    """A part does not do its part before any fault was made."""


class Scene:
    """`store`: start two operators that share a Redis, instead of one that is alone."""

    def __init__(self, folder: Path, *, store: bool = False) -> None:
        self.folder = folder
        self.has_store = store
        self.upstream, self.store_port, self.service, *ports = free_ports(7 + 2 * len(SIDECARS))
        self.operators = {name: (ports.pop(), ports.pop()) for name in (("one", "two") if store else ("one",))}
        self.sidecars = {name: (ports.pop(), ports.pop()) for name in SIDECARS}
        self.host = "127.0.0.1"
        self.balancer: Balancer | None = None
        self._commands: dict[str, tuple[Sequence[str], Mapping[str, str]]] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    # The parts

    async def set_up(self, **spec: object) -> None:
        """Everything is up and every sidecar holds a lease. Raises SceneFailed, Unplayable."""
        self.write_files(**spec)
        await self.start_parts()

    async def start_parts(self) -> None:
        """Everything that `write_files` has written for. Raises SceneFailed, Unplayable."""
        await self.start_upstream()
        if self.has_store:
            await self.start_store()
        for name in self.operators:
            await self.start_operator(name)
        if len(self.operators) > 1:
            await self.start_balancer()
        for name in self.sidecars:
            await self.start_sidecar(name)

    def write_files(self, **spec: object) -> None:
        for name in ("policies", "state", "store"):
            (self.folder / name).mkdir(mode=0o700)
        manifest = {
            "apiVersion": "forefill.io/v1alpha1",
            "kind": "TokenPolicy",
            "metadata": {"name": "llm"},
            "spec": {
                "mode": "Enforce",
                "upstream": {"url": f"http://127.0.0.1:{self.upstream}"},
                "fillRate": {"base": MAX, "min": MAX / 5, "max": MAX},
                "report": {"intervalSeconds": INTERVAL_SECONDS, "leaseSeconds": LEASE_SECONDS},
                **spec,
            },
        }
        (self.folder / "policies" / "llm.yaml").write_text(json.dumps(manifest))
        tokens = "".join(f"token-{name},{name},uid-{name}\n" for name in (*SIDECARS, "raw"))
        (self.folder / "state" / "tokens.csv").write_text(tokens)

    async def start_upstream(self) -> None:
        workers = ("--workers", "32", "--service-seconds", "0.005")
        await self.start("upstream", [*_python("forefill_lab.demo.upstream"), "--port", str(self.upstream), *workers])

    async def start_balancer(self) -> Balancer:
        """From now on sidecars are led through it."""
        self.balancer = Balancer(self.service, [(self.host, port) for port, _ in self.operators.values()])
        await self.balancer.start()
        return self.balancer

    async def start_store(self, *more: str) -> None:
        binary = shutil.which("valkey-server") or shutil.which("redis-server")
        if binary is None:
            raise Unplayable("neither valkey-server nor redis-server is installed")
        await self.start("store", [
            binary, "--port", str(self.store_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--dir", str(self.folder / "store"), *more,
        ])  # fmt: skip
        await self._until_open("store", self.store_port)

    async def start_operator(
        self, name: str, *more: str, prefix: Sequence[str] = (), env: Mapping[str, str] = {}
    ) -> None:
        port, health = self.operators[name]
        shared = (f"--store={self.store_url}", f"--name={name}") if self.has_store else ()
        await self.start(f"operator {name}", [
            *prefix, *_python("forefill"), "operator", f"--policies={self.folder / 'policies'}",
            f"--state={self.folder / 'state'}", f"--listen={self.host}:{port}", f"--health=127.0.0.1:{health}",
            *shared, *more,
        ], env)  # fmt: skip
        if self.host == "127.0.0.1":
            await self._until_ready(f"operator {name}", health)
        else:
            await self._until_open(f"operator {name}", port)

    @property
    def store_url(self) -> str:
        return f"redis://127.0.0.1:{self.store_port}"

    async def start_sidecar(
        self, name: str, *more: str, prefix: Sequence[str] = (), env: Mapping[str, str] = {}
    ) -> None:
        port, admin = self.sidecars[name]
        token = self.folder / f"{name}.token"
        token.write_text(f"token-{name}")
        operator = self.service if self.balancer else self.operators["one"][0]
        await self.start(f"sidecar {name}", [
            *prefix, *_python("forefill"), "sidecar", f"--listen=127.0.0.1:{port}", f"--admin=127.0.0.1:{admin}",
            f"--upstream=http://127.0.0.1:{self.upstream}", f"--operator=https://127.0.0.1:{operator}",
            f"--policy={POLICY}", f"--token-file={token}", f"--ca-file={self.folder / 'state' / 'ca.crt'}",
            f"--fill-rate={MAX / 2 / len(SIDECARS)}", "--grace-seconds=1", *more,
        ], env)  # fmt: skip
        await self._until_ready(f"sidecar {name}", admin)

    # Processes

    async def start(self, name: str, command: Sequence[str], env: Mapping[str, str] = {}) -> None:
        self._commands[name] = command, env
        with (self.folder / f"{name.replace(' ', '-')}.log").open("ab") as log:
            self._processes[name] = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **env},
                start_new_session=True,
            )  # fmt: skip

    async def start_again(self, name: str) -> None:
        """As it was started before; its port may need a moment to be free."""
        await self.start(name, *self._commands[name])

    async def kill(self, name: str) -> None:
        process = self._processes[name]
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    def pause(self, name: str) -> None:
        self._processes[name].send_signal(signal.SIGSTOP)

    def wake(self, name: str) -> None:
        self._processes[name].send_signal(signal.SIGCONT)

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def runs(self, name: str) -> bool:
        return self._processes[name].returncode is None

    async def tear_down(self) -> None:
        if self.balancer:
            await self.balancer.stop()
        for name, process in reversed(self._processes.items()):
            if process.returncode is None:
                self.wake(name)
                await self.kill(name)

    def log(self, name: str) -> str:
        return (self.folder / f"{name.replace(' ', '-')}.log").read_text(errors="replace")

    # What can be seen

    async def metrics(self, port: int) -> dict[str, float]:
        """Empty while nobody answers there."""
        try:
            return await scrape.metrics(port)
        except OSError:
            return {}

    async def owners(self) -> list[str]:
        """Operators that serve the policy."""
        found = {name: await self.metrics(health) for name, (_, health) in self.operators.items()}
        return [name for name, metrics in found.items() if metrics.get("forefill_policy_max", 0.0) > 0.0]

    async def _until_ready(self, name: str, port: int) -> None:
        async def ready() -> bool:
            try:
                return (await scrape.get(port, "/readyz"))[0] == 200
            except OSError:
                return False

        while not await ready():
            await self._wait_for(name)

    async def _until_open(self, name: str, port: int) -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection(self.host, port)
            except OSError:
                await self._wait_for(name)
                continue
            writer.close()
            return

    async def _wait_for(self, name: str) -> None:
        if not self.runs(name):
            raise SceneFailed(f"the {name} ended: {(self.log(name).strip().splitlines() or ['without a word'])[-1]}")
        await asyncio.sleep(0.05)


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]
