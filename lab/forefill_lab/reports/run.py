"""The run itself: open the streams, report on a fixed timetable, take the answers, and say how long each took.

The timetable is fixed before the first report: a report that leaves late because the operator was slow is timed from
when it was due, so that no pause hides (Tene's coordinated omission).
"""

import asyncio
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heapify, heapreplace

from forefill_lab.reports.demand import Population
from forefill_lab.reports.target import POLICY, BenchFailed, Target
from forefill_lab.reports.wire import StreamRefused, Wire
from forefill_protocol import codec, messages
from forefill_sidecar.acknowledgements import Outstanding

HOST = "127.0.0.1"
# Handshakes under way at once: more would only queue in the operator and time out there.
OPENING = 48
# Streams of one source address: fewer than there are ephemeral ports.
STREAMS_PER_ADDRESS = 20_000
GRACE_SECONDS = 2.0
# Of <linux/in.h>.
IP_BIND_ADDRESS_NO_PORT = 24


@dataclass
class Tally:
    """What the measured part saw. Latencies in seconds, from when each report was due."""

    latencies: list[float] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)
    sent: int = 0
    pushes: int = 0
    refusals: int = 0
    lost_streams: int = 0
    measuring: bool = False


class Peer:
    """One simulated sidecar: reports, and acknowledges grants as sidecars do."""

    __slots__ = (
        "counts", "due", "generation", "grant", "number", "outstanding", "policy", "sequence", "tally", "wire",
    )  # fmt: skip

    def __init__(self, number: int, policies: int, tally: Tally) -> None:
        self.number = number
        self.policy = POLICY.format(number % policies)
        self.grant, self.generation, self.sequence, self.due = 0, 0, 0, 0.0
        self.counts = False
        self.outstanding = Outstanding()
        self.tally = tally
        self.wire: Wire

    def hello(self) -> bytes:
        holding = messages.Holding(policy=self.policy)
        return codec.encode(messages.Hello(messages.PROTOCOL_VERSION, f"boot-{self.number}", "bench", [holding]))

    def receive(self, data: bytes) -> None:
        message = codec.decode_down(data)
        if not isinstance(message, messages.Assignment):
            self.tally.refusals += isinstance(message, messages.Refused)
            return
        if message.answers == self.sequence and self.due:
            if self.counts:
                self.tally.latencies.append(time.monotonic() - self.due)
            self.due = 0.0
        elif self.tally.measuring:
            self.tally.pushes += 1
        self.grant, self.generation = message.grant_sequence, message.policy_generation
        if self.outstanding.take(message):
            ack = messages.Ack(message.policy, message.grant_sequence, message.policy_generation)
            self.wire.send(codec.encode(ack))

    def report(self, population: Population, seconds: float, due: float) -> None:
        self.sequence += 1
        entry = population.report(self.number, self.sequence, self.policy, seconds, self.grant, self.generation)
        self.due, self.counts = due, self.tally.measuring
        self.wire.send(codec.encode(messages.Report(self.sequence, [entry])))


async def connect(
    targets: Sequence[Target], clients: int, policies: int, tally: Tally, progress: Callable[[int], None]
) -> list[Peer]:
    """Every stream, open and greeted, spread over the operators. Raises BenchFailed."""
    contexts = [ssl.create_default_context(cafile=str(target.ca_file)) for target in targets]
    for context in contexts:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    numbers, peers = iter(range(clients)), []

    async def worker() -> None:
        for number in numbers:
            peer = Peer(number, policies, tally)
            turn = number // policies % len(targets)
            peer.wire = await _open(contexts[turn], targets[turn].port, number, peer)
            peer.wire.send(peer.hello())
            peers.append(peer)
            progress(len(peers))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(OPENING, clients)):
                group.create_task(worker())
    except ExceptionGroup as failed:
        raise BenchFailed(f"stream {len(peers) + 1} of {clients} did not open: {failed.exceptions[0]}") from None
    return peers


async def _open(context: ssl.SSLContext, port: int, number: int, peer: Peer) -> Wire:
    source = f"127.0.0.{2 + number // STREAMS_PER_ADDRESS}"
    loop = asyncio.get_running_loop()
    for attempt in range(5):
        wire = Wire(context, HOST, f"token-{number}", peer.receive)
        try:
            connection = await _connected(source, port)
            await loop.create_connection(partial(_same, wire), sock=connection)
            await asyncio.wait_for(wire.opened, 20.0)
            return wire
        except (OSError, StreamRefused, TimeoutError) as error:
            wire.close()
            if attempt == 4:
                raise BenchFailed(str(error) or type(error).__name__) from None
            await asyncio.sleep(0.2 * (attempt + 1))
    raise AssertionError("unreachable")


async def _connected(source: str, port: int) -> socket.socket:
    """From `source`, whose port is chosen with the peer known: a port that is bound beforehand is lost to everybody."""
    connection = socket.socket()
    connection.setblocking(False)
    if sys.platform == "linux":
        connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    connection.bind((source, 0))
    try:
        await asyncio.get_running_loop().sock_connect(connection, (HOST, port))
    except OSError:
        connection.close()
        raise
    return connection


def _same(wire: Wire) -> Wire:
    return wire


async def drive(
    peers: list[Peer], population: Population, interval: float, warm: float, seconds: float, tally: Tally,
    at_start: Callable[[], None], at_end: Callable[[], None], progress: Callable[[float], None],
) -> None:  # fmt: skip
    """Reports at their times for `warm` seconds unmeasured and `seconds` measured."""
    begin = time.monotonic() + 0.1
    timetable = [(begin + interval * index / len(peers), index) for index in range(len(peers))]
    heapify(timetable)
    measure_at, end = begin + warm, begin + warm + seconds
    told = 0.0
    while (now := time.monotonic()) < end:
        if not tally.measuring and now >= measure_at:
            tally.measuring = True
            at_start()
        while timetable[0][0] <= now:
            due, index = timetable[0]
            _send(peers[index], population, interval, due, now, tally)
            heapreplace(timetable, (due + interval, index))
        if now - told > 0.2:
            told = now
            progress(now - begin)
        await asyncio.sleep(min(max(timetable[0][0] - time.monotonic(), 0.0), 0.05))
    at_end()
    await asyncio.sleep(GRACE_SECONDS)
    tally.measuring = False


def _send(peer: Peer, population: Population, interval: float, due: float, now: float, tally: Tally) -> None:
    if peer.wire.closed:
        tally.lost_streams += tally.measuring
        return
    peer.report(population, interval, due)
    if tally.measuring:
        tally.sent += 1
        tally.lateness.append(now - due)
