import asyncio
import contextlib
import datetime
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from picows import WSHandshakeError, ws_connect
from tests.peer import Peer

from forefill_operator.controller import Controller
from forefill_operator.identity import StaticTokens
from forefill_operator.metrics import Metrics
from forefill_operator.runtime import STUCK_SECONDS, Runtime
from forefill_operator.state_folder import ensure_certificate
from forefill_protocol import messages


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Operator:
    """A runtime on free ports; `missing` is why it is not ready, `ahead` how far its clock was moved."""

    def __init__(self, folder: Path, make_policy: Any) -> None:
        (folder / "tokens.csv").write_text("token-a,pod-a,uid-a,ai\n")
        certificate, key = ensure_certificate(folder, ["localhost"], datetime.datetime.now(datetime.UTC))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.missing: str | None = None
        self.ahead = 0.0
        self.stream, self.health = free_port(), free_port()
        controller = Controller(first_start=True)
        self.runtime = Runtime(
            controller,
            StaticTokens(folder / "tokens.csv"),
            Metrics(),
            context,
            stream=("127.0.0.1", self.stream),
            health=("127.0.0.1", self.health),
            ready=lambda: self.missing,
            clock=lambda: asyncio.get_running_loop().time() + self.ahead,
        )
        controller.put_policy(make_policy(), self.runtime.clock(), is_new=True)
        self.trusting = ssl.create_default_context(cafile=str(folder / "ca.crt"))

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{self.health}{path}") as answer:
            return answer.status, await answer.text()

    async def connect(self, token: str = "token-a") -> Peer:
        peer = Peer()
        await ws_connect(
            lambda: peer,
            f"wss://localhost:{self.stream}{messages.STREAM_PATH}",
            ssl_context=self.trusting,
            extra_headers={"Authorization": f"Bearer {token}"},
        )
        return peer

    async def listening(self) -> None:
        async with asyncio.timeout(5.0):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    await self.get("/healthz")
                    return
                await asyncio.sleep(0.01)

    def is_free(self, port: int) -> bool:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
        return True


@pytest.fixture
async def operator(tmp_path: Path, make_policy: Any) -> Operator:
    return Operator(tmp_path, make_policy)


@contextlib.asynccontextmanager
async def running(operator: Operator) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(operator.runtime.run())
    try:
        await operator.listening()
        yield task
    finally:
        operator.runtime.stopping.set()
        await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 5.0)


async def test_before_it_is_ready_it_says_why_and_lets_nobody_in(operator: Operator) -> None:
    operator.missing = "the policies have not been listed yet"
    async with running(operator):
        assert await operator.get("/readyz") == (503, "the policies have not been listed yet\n")
        assert await operator.get("/healthz") == (200, "ok\n")
        with pytest.raises(WSHandshakeError) as refused:
            await operator.connect()
        assert refused.value.response is not None
        assert refused.value.response.status == 503
        operator.missing = None
        assert await operator.get("/readyz") == (200, "ok\n")
        peer = await operator.connect()
        peer.transport.disconnect()
        await peer.closed.wait()


async def test_metrics_name_every_policy(operator: Operator) -> None:
    async with running(operator):
        status, text = await operator.get("/metrics")
    assert status == 200
    assert 'forefill_policy_max{policy="ai/llm"} 400.0' in text.splitlines()
    assert "# HELP forefill_operator_streams Sidecars connected." in text.splitlines()


async def test_other_paths_are_not_served(operator: Operator) -> None:
    async with running(operator):
        assert [(await operator.get(path))[0] for path in ("/", "/debug", "/metrics/x")] == [404, 404, 404]


async def test_a_loop_that_is_stuck_is_not_alive(operator: Operator) -> None:
    async with running(operator):
        operator.ahead += STUCK_SECONDS + 5.0
        status, text = await operator.get("/healthz")
    assert (status, text.startswith("the loop has not planned for 3")) == (503, True)


async def test_another_reason_not_to_be_alive_is_told(operator: Operator) -> None:
    operator.runtime.alive = lambda: "the watch has ended"
    async with running(operator):
        assert await operator.get("/healthz") == (503, "the watch has ended\n")


async def test_stopping_tells_sidecars_to_come_back_and_frees_the_ports(operator: Operator) -> None:
    async with running(operator) as task:
        peer = await operator.connect()
        operator.runtime.stopping.set()
        bye = await asyncio.wait_for(peer.received.get(), 5.0)
        assert isinstance(bye, messages.Bye)
        assert (bye.reason, bye.reconnect_after_seconds) == ("the operator stops", 1.0)
        await asyncio.wait_for(peer.closed.wait(), 5.0)
        await asyncio.wait_for(task, 5.0)
    assert [operator.is_free(port) for port in (operator.stream, operator.health)] == [True, True]


@pytest.mark.parametrize("taken", ["stream", "health"])
async def test_a_port_that_is_taken_leaves_nothing_open(taken: str, operator: Operator) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", getattr(operator, taken)))
        holder.listen()
        with pytest.raises(OSError, match="address already in use"):
            await operator.runtime.run()
    assert [operator.is_free(port) for port in (operator.stream, operator.health)] == [True, True]


async def test_a_chore_that_fails_ends_the_operator(operator: Operator) -> None:
    async def failing() -> None:
        raise RuntimeError("the disk is gone")

    operator.runtime.chores = [failing]
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(operator.runtime.run(), 5.0)
    assert [str(each) for each in caught.value.exceptions] == ["the disk is gone"]
    assert operator.is_free(operator.stream)


async def test_chores_run_beside_the_loop_and_end_with_it(operator: Operator) -> None:
    ended = asyncio.Event()

    async def chore() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    operator.runtime.chores = [chore]
    async with running(operator):
        assert not ended.is_set()
    assert ended.is_set()
