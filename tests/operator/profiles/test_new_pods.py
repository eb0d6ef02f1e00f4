"""A real operator on loopback: pods report, and a new pod of their workload is told what that usually offers."""

import asyncio
import contextlib
import datetime
import random
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from forefill_operator.controller import Controller
from forefill_operator.identity import StaticTokens
from forefill_operator.metrics import Metrics
from forefill_operator.policy import TokenPolicy
from forefill_operator.runtime import Runtime
from forefill_operator.state_folder import ensure_certificate
from forefill_operator.status import BestModel
from forefill_protocol import codec
from forefill_protocol.messages import STREAM_PATH, Assignment, Down, Forecast, Hello, Holding, PolicyReport, Report, Up

TOKENS = """
token-a,web-a,uid-a,ai,Deployment/web
token-b,web-b,uid-b,ai,Deployment/web
token-c,api-c,uid-c,ai,Deployment/api
token-d,pod-d,uid-d,ai
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Pod(WSListener):
    received: "asyncio.Queue[Down]" = field(default_factory=asyncio.Queue)
    reports: int = 0

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.BINARY:
            self.received.put_nowait(codec.decode_down(frame.get_payload_as_bytes()))

    def send(self, message: Up) -> None:
        self.transport.send(WSMsgType.BINARY, codec.encode(message))

    async def answer(self) -> Assignment:
        async with asyncio.timeout(10.0):
            while True:
                message = await self.received.get()
                if isinstance(message, Assignment):
                    return message

    async def greet(self, grant_sequence: int = 0) -> Assignment:
        self.send(Hello(1, "boot", "test", [Holding("ai/llm", grant_sequence=grant_sequence)]))
        return await self.answer()

    async def report(self, offered: float) -> Assignment:
        self.reports += 1
        forecast = [Forecast(mean=2.0, p50=2.0, p90=3.0, p95=4.0)]
        entry = PolicyReport("ai/llm", 10.0, offered, offered, 0.0, 0.0, 1, forecast)
        self.send(Report(self.reports, [entry]))
        return await self.answer()


class Operator:
    def __init__(self, folder: Path, policy: TokenPolicy) -> None:
        (folder / "tokens.csv").write_text(TOKENS)
        certificate, key = ensure_certificate(folder, ["localhost"], datetime.datetime.now(datetime.UTC))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.ahead = 0.0
        self.trusting = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        self.metrics = Metrics()
        self.port = free_port()
        controller = Controller(first_start=True)
        self.runtime = Runtime(
            controller,
            StaticTokens(folder / "tokens.csv"),
            self.metrics,
            context,
            stream=("127.0.0.1", self.port),
            health=("127.0.0.1", 0),
            clock=lambda: asyncio.get_running_loop().time() + self.ahead,
            profiles_kept=folder / "profiles",
        )
        controller.put_policy(policy, self.runtime.clock(), is_new=True)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.runtime.run())
        try:
            yield
        finally:
            self.runtime.stopping.set()
            await asyncio.wait_for(task, 10.0)

    async def pod(self, letter: str) -> Pod:
        pod = Pod()
        async with asyncio.timeout(10.0):
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    await ws_connect(
                        lambda: pod,
                        f"wss://localhost:{self.port}{STREAM_PATH}",
                        ssl_context=self.trusting,
                        extra_headers={"Authorization": f"Bearer token-{letter}"},
                    )
                    return pod
                await asyncio.sleep(0.01)

    async def history(self, pod: Pod, rates: Sequence[float]) -> None:
        """One report a window, each ten seconds after the last by the operator's clock."""
        for rate in rates:
            self.ahead += 10.0
            await pod.report(10.0 * rate)

    def best_models(self) -> list[BestModel]:
        found = self.runtime.controller.status("ai/llm", self.runtime.clock())
        assert found is not None
        return found.best_models

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
async def operator(tmp_path: Path, make_policy: Callable[..., TokenPolicy]) -> Operator:
    return Operator(tmp_path, make_policy())


async def test_a_new_pod_of_a_known_workload_inherits(operator: Operator) -> None:
    async with operator.running():
        old = await operator.pod("a")
        assert (await old.greet()).inherited is None
        rates = [3.0, 1.0, 2.0, 2.0] * 20
        await operator.history(old, rates)
        new = await operator.pod("b")
        inherited = (await new.greet()).inherited
        later = await new.report(20.0)
    assert inherited is not None
    assert (inherited.interval_seconds, round(inherited.level, 6), inherited.recent) == (10.0, 2.0, rates[-64:])
    assert (len(inherited.weekday), len(inherited.weekend), 0.3 < inherited.scale < 1.5) == (96, 96, True)
    assert later.inherited is None
    assert operator.metric("forefill_profile_inherited_total") == 1.0


@pytest.mark.parametrize("letter", ["c", "d"])
async def test_pods_of_other_workloads_or_of_none_inherit_nothing(letter: str, operator: Operator) -> None:
    async with operator.running():
        await (old := await operator.pod("a")).greet()
        await operator.history(old, [2.0] * 20)
        assert (await (await operator.pod(letter)).greet()).inherited is None


async def test_a_report_that_comes_again_is_counted_once(operator: Operator) -> None:
    async with operator.running():
        await (old := await operator.pod("a")).greet()
        for _ in range(20):
            await old.report(20.0)
            old.reports = 0
        assert (await (await operator.pod("b")).greet()).inherited is None


async def test_a_pod_that_holds_a_grant_is_not_new(operator: Operator) -> None:
    async with operator.running():
        await (old := await operator.pod("a")).greet()
        await operator.history(old, [2.0] * 20)
        assert (await (await operator.pod("b")).greet(grant_sequence=7)).inherited is None


@pytest.mark.timeout(600)
async def test_a_fit_asked_for_gives_new_pods_its_coefficients_and_names_the_best_model(operator: Operator) -> None:
    async with operator.running():
        await (old := await operator.pod("a")).greet()
        noise = random.Random(1)
        await operator.history(old, [max(noise.gauss(5.0, 1.0), 0.0) for _ in range(300)])
        operator.runtime.profiles.ask()
        async with asyncio.timeout(500.0):
            while not (best_models := operator.best_models()):
                await asyncio.sleep(0.05)
        inherited = (await (await operator.pod("b")).greet()).inherited
    assert inherited is not None
    assert inherited.ar or inherited.ma
    (best,) = best_models
    assert best.workload == "ai/Deployment/web"
    labels = {"policy": "ai/llm", "workload": best.workload, "model": best.model}
    assert operator.metric("forefill_workload_best_model", **labels) == best.skill > 0.0
    assert operator.metric("forefill_profile_fits_total", outcome="done") == 1.0


async def test_what_was_learned_outlives_the_operator(
    operator: Operator, tmp_path: Path, make_policy: Callable[..., TokenPolicy]
) -> None:
    async with operator.running():
        await (old := await operator.pod("a")).greet()
        await operator.history(old, [3.0, 1.0] * 20)
    following = Operator(tmp_path, make_policy())
    async with following.running():
        inherited = (await (await following.pod("b")).greet()).inherited
    assert inherited is not None
    assert (round(inherited.level, 6), inherited.recent) == (2.0, [])
