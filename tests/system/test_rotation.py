"""Certificates change under load: real streams of real reporters, on one loop with the operator's real server."""

import asyncio
import contextlib
import datetime
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests import serving

from forefill_operator.kube import authorities, certificates, tls
from forefill_operator.kube.authorities import OVERLAP, RETIREMENT, Authorities
from forefill_operator.stream_server import StreamServer
from forefill_protocol import bundle, messages
from forefill_sidecar.reporter import Operator, Reporter

CLIENTS = 20
POLICY = serving.manifest(fillRate={"base": 100, "min": 100, "max": 1000})
NOW = datetime.datetime.now(datetime.UTC)


@dataclass
class Pod:
    """A reporter that sends a report every few milliseconds and acknowledges each answer."""

    operator: Operator
    folder: Path
    answers: int = 0
    sequence: int = 0
    events: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.reporter = Reporter(
            self.operator, self.hello, self.receive, lambda event: self.events.update([event]), folder=self.folder
        )

    def hello(self) -> messages.Hello:
        holding = messages.Holding(policy="default/llm")
        return messages.Hello(protocol=1, boot_id="boot", software="test", holdings=[holding])

    def receive(self, message: messages.Down) -> None:
        if isinstance(message, messages.Assignment):
            self.answers += 1
            sequence, generation = message.grant_sequence, message.policy_generation
            self.reporter.send(
                messages.Ack(policy=message.policy, grant_sequence=sequence, policy_generation=generation)
            )

    async def load(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            self.sequence += 1
            self.reporter.send(messages.Report(sequence=self.sequence, entries=[entry()]))


def entry() -> messages.PolicyReport:
    return messages.PolicyReport(
        policy="default/llm",
        window_seconds=0.05,
        offered=1.0,
        admitted=1.0,
        refused=0.0,
        backlog=0.0,
        requests=1,
        forecasts=[messages.Forecast(mean=5.0, p50=5.0, p90=6.0, p95=7.0)],
    )


@dataclass
class Running:
    server: StreamServer
    context: ssl.SSLContext
    pods: list[Pod]
    held: Authorities

    def advance(self, now: datetime.datetime, wish: Any = "") -> None:
        """What the operator does once a minute, at a moment of our choice."""
        before, self.held = self.held, authorities.advanced(self.held, self.server.lagging(), wish, now)
        self.server.trust(self.held.bundle)
        if self.held.active != before.active:
            self.serve_with(self.held.active)

    def serve_with(self, authority: certificates.Pair) -> None:
        pair = certificates.issue(authority, ["localhost"], NOW)
        tls.load_pair(self.context, pair.certificate, pair.key)

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(60.0):
            while not condition():
                await asyncio.sleep(0.01)

    async def everybody_is_answered(self) -> None:
        before = [pod.answers for pod in self.pods]
        await self.until(lambda: all(pod.answers > was for pod, was in zip(self.pods, before, strict=True)))

    async def everybody_comes_back(self) -> None:
        connected = [pod.events["connected"] for pod in self.pods]
        for session in list(self.server.open):
            session.transport.disconnect()
        await self.until(
            lambda: all(pod.events["connected"] > was for pod, was in zip(self.pods, connected, strict=True))
        )
        await self.everybody_is_answered()

    def errors(self) -> Counter[str]:
        found: Counter[str] = sum((pod.events for pod in self.pods), Counter())
        del found["connected"]
        return found


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    held = Authorities(certificates.make_authority("ca.forefill", NOW))
    (tmp_path / "tokens.csv").write_text("".join(f"token-{n},pod-{n},uid-{n}\n" for n in range(CLIENTS)))
    context, server = tls.server_context(), serving.server_of(tmp_path / "tokens.csv", POLICY)
    server.trust(held.bundle)
    pods: list[Pod] = []
    state = Running(server, context, pods, held)
    state.serve_with(held.active)
    port = await server.start("127.0.0.1", 0, context)
    for number in range(CLIENTS):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "token").write_text(f"token-{number}")
        operator = Operator(f"wss://localhost:{port}{messages.STREAM_PATH}", held.bundle, folder / "token")
        pods.append(Pod(operator, folder))
    tasks = [asyncio.create_task(run()) for pod in pods for run in (pod.reporter.run, pod.load)]
    await state.everybody_is_answered()
    yield state
    await server.close("the test ends")
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks)
    await asyncio.sleep(0.1)


async def test_a_new_serving_certificate_drops_no_stream_and_serves_the_next_connection(running: Running) -> None:
    streams = list(running.server.open)
    for _ in range(5):
        running.serve_with(running.held.active)
        await running.everybody_is_answered()
    assert list(running.server.open) == streams
    await running.everybody_comes_back()
    assert running.errors() == {}


async def test_an_authority_follows_another_under_load_without_an_error(running: Running) -> None:
    streams = list(running.server.open)
    first = running.held
    running.advance(NOW, "now")
    await running.until(lambda: running.server.lagging() == 0)
    both = bundle.fingerprint(running.held.bundle)
    assert {session.ca_fingerprint for session in running.server.open} == {both}
    await running.everybody_is_answered()
    running.advance(NOW + OVERLAP)
    assert running.held.active not in (first.active, None)
    await running.everybody_is_answered()
    assert list(running.server.open) == streams
    await running.everybody_comes_back()
    running.advance(NOW + OVERLAP + RETIREMENT)
    await running.until(lambda: running.server.lagging() == 0)
    await running.everybody_comes_back()
    assert running.errors() == {}
    assert {(pod.folder / "ca.crt").read_text() for pod in running.pods} == {running.held.active.certificate.decode()}


async def test_who_has_not_acknowledged_keeps_the_old_authority_serving(running: Running) -> None:
    running.advance(NOW, "now")
    running.advance(NOW + OVERLAP)
    assert running.held.following is not None
    await running.until(lambda: running.server.lagging() == 0)
    running.advance(NOW + OVERLAP)
    assert running.held.following is None


async def test_a_sidecar_that_trusts_only_the_last_authority_refuses_the_next(running: Running, tmp_path: Path) -> None:
    """What the overlap is for, and that nobody can serve with an authority that was never announced."""
    running.serve_with(certificates.make_authority("an attacker's", NOW))
    for session in list(running.server.open):
        session.transport.disconnect()
    await running.until(lambda: all(pod.events["connect_failed"] > 0 for pod in running.pods))
    assert running.server.sessions == {}
    running.serve_with(running.held.active)
    await running.until(lambda: len(running.server.sessions) > 0)
