"""The faults of what is around: network, clocks, disks, files, and messages that come twice, late or out of order."""

import asyncio
import os
import shutil
import ssl
import time
from contextlib import suppress
from pathlib import Path

from forefill_lab.chaos.faults import Fault
from forefill_lab.chaos.scene import LEASE_SECONDS, POLICY, SIDECARS, Scene, Unplayable
from forefill_lab.chaos.watch import Watch
from forefill_lab.reports.wire import Wire
from forefill_protocol import codec, messages

FAULT_SECONDS = 3 * LEASE_SECONDS

# The operator in a network namespace of its own, which only a bad line leads to: packets are dropped there, and what
# arrives is late.
LOST, LATE_SECONDS = 0.3, 0.2
RANDOMLY = ("-m", "statistic", "--mode", "random", "--probability", f"{LOST}")
NEAR, FAR = "10.213.7.1", "10.213.7.2"
NAMESPACE = f"ffchaos{os.getpid()}"
LINKS = (f"ffa{os.getpid()}", f"ffb{os.getpid()}")
INSIDE = ("ip", "netns", "exec", NAMESPACE)


async def far_operator(scene: Scene) -> None:
    _needs_root("ip", "iptables")
    await _run("ip", "netns", "add", NAMESPACE)
    await _run("ip", "link", "add", LINKS[0], "type", "veth", "peer", "name", LINKS[1], "netns", NAMESPACE)
    await _run("ip", "addr", "add", f"{NEAR}/30", "dev", LINKS[0])
    await _run("ip", "link", "set", LINKS[0], "up")
    await _run(*INSIDE, "ip", "addr", "add", f"{FAR}/30", "dev", LINKS[1])
    await _run(*INSIDE, "ip", "link", "set", LINKS[1], "up")
    await _run(*INSIDE, "ip", "link", "set", "lo", "up")
    scene.host = FAR
    scene.write_files()
    await scene.start_upstream()
    await scene.start_operator("one", prefix=INSIDE)
    await scene.start_balancer()
    for name in SIDECARS:
        await scene.start_sidecar(name)


async def bad_line(scene: Scene, watch: Watch) -> float:
    assert scene.balancer is not None
    for chain in ("INPUT", "OUTPUT"):
        await _run(*INSIDE, "iptables", "-A", chain, "-p", "tcp", *RANDOMLY, "-j", "DROP")
    scene.balancer.delay = LATE_SECONDS
    await asyncio.sleep(2 * FAULT_SECONDS)
    await _run(*INSIDE, "iptables", "-F")
    scene.balancer.delay = 0.0
    return time.monotonic()


async def cut_line(scene: Scene, watch: Watch) -> float:
    await _run("ip", "link", "set", LINKS[0], "down")
    await asyncio.sleep(FAULT_SECONDS)
    await _run("ip", "link", "set", LINKS[0], "up")
    return time.monotonic()


async def no_namespace(scene: Scene) -> None:
    # The line first: a namespace lets go of its end some time after it is gone, and the next one needs the name.
    for what in (("link", "del", LINKS[0]), ("netns", "del", NAMESPACE)):
        with suppress(Unplayable):
            await _run("ip", *what)


# Wall clocks that somebody sets; monotonic ones can't be set.


async def settable_clocks(scene: Scene) -> None:
    library = _fake_time()
    _set_clock(scene, 0)
    env = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(scene.folder / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    scene.write_files()
    await scene.start_upstream()
    await scene.start_operator("one", env=env)
    for name in SIDECARS:
        await scene.start_sidecar(name, env=env)


def _fake_time() -> Path:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        raise Unplayable("libfaketime is not installed")
    return library


async def clock_ahead(scene: Scene, watch: Watch) -> float:
    return await _clock_by(scene, 3600)


async def clock_back(scene: Scene, watch: Watch) -> float:
    return await _clock_by(scene, -3600)


async def _clock_by(scene: Scene, seconds: int) -> float:
    _set_clock(scene, seconds)
    moved = time.monotonic()
    await asyncio.sleep(LEASE_SECONDS)
    # A stream that has to open anew sees certificates and tickets by the new time.
    await scene.kill("operator one")
    await scene.start_again("operator one")
    await asyncio.sleep(FAULT_SECONDS)
    _set_clock(scene, 0)
    return moved


def _set_clock(scene: Scene, seconds: int) -> None:
    (scene.folder / "clock").write_text(f"{seconds:+d}\n")


# Disks and files


async def small_disks(scene: Scene) -> None:
    _needs_root("mount", "umount")
    scene.write_files()
    await scene.start_upstream()
    await scene.start_operator("one")
    for name in SIDECARS:
        disk = scene.folder / f"disk-{name}"
        disk.mkdir()
        await _run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk))
        await scene.start_sidecar(name, f"--state={disk}")


async def disk_full(scene: Scene, watch: Watch) -> float:
    for name in SIDECARS:
        _fill(scene.folder / f"disk-{name}")
    full = time.monotonic()
    await asyncio.sleep(FAULT_SECONDS)
    await scene.kill("sidecar a")
    await scene.start_again("sidecar a")
    await asyncio.sleep(FAULT_SECONDS)
    return full


def _fill(disk: Path) -> None:
    with suppress(OSError), (disk / "filler").open("wb") as filler:
        while True:
            filler.write(b"\0" * 4096)
            filler.flush()


async def no_disks(scene: Scene) -> None:
    for disk in scene.folder.glob("disk-*"):
        with suppress(Unplayable):
            await _run("umount", str(disk))


async def few_files(scene: Scene) -> None:
    _needs_root("prlimit")
    scene.write_files()
    await scene.start_upstream()
    await scene.start_operator("one", prefix=("prlimit", "--nofile=200:200"))
    for name in SIDECARS:
        await scene.start_sidecar(name)


async def out_of_files(scene: Scene, watch: Watch) -> float:
    """Idle connections until the operator takes no more, and longer than a lease."""
    port = scene.operators["one"][0]
    writers = []
    for number in range(400):
        with suppress(OSError, TimeoutError):
            opening = asyncio.open_connection(scene.host, port, local_addr=(f"127.0.0.{2 + number // 50}", 0))
            writers.append((await asyncio.wait_for(opening, 1.0))[1])
    await asyncio.sleep(FAULT_SECONDS)
    for writer in writers:
        writer.close()
    return time.monotonic()


# Messages that a network or a bug repeats


async def odd_messages(scene: Scene, watch: Watch) -> float:
    """Another client says everything twice, in the wrong order, and long after."""
    context = ssl.create_default_context(cafile=str(scene.folder / "state" / "ca.crt"))
    answers: list[bytes] = []
    wire = Wire(context, "127.0.0.1", "token-raw", answers.append)
    await asyncio.get_running_loop().create_connection(lambda: wire, scene.host, scene.operators["one"][0])
    await asyncio.wait_for(wire.opened, 5.0)
    holding = messages.Holding(policy=POLICY)
    wire.send(codec.encode(messages.Hello(messages.PROTOCOL_VERSION, "boot", "chaos", [holding])))
    for sequence in (1, 1, 2, 5, 3, 4, 5, 5, 1, 6, 6, 2):
        wire.send(codec.encode(messages.Report(sequence, [_report(1000.0 * sequence)])))
        wire.send(codec.encode(messages.Ack(POLICY, 2**40 + sequence, 1)))
        wire.send(codec.encode(messages.Ack(POLICY, 1, 1)))
        await asyncio.sleep(0.3)
    wire.send(codec.encode(messages.Goodbye()))
    await asyncio.sleep(0.2)
    wire.close()
    return time.monotonic()


def _report(offered: float) -> messages.PolicyReport:
    forecast = messages.Forecast(offered, offered, offered, offered)
    return messages.PolicyReport(
        policy=POLICY, window_seconds=1.0, offered=offered, admitted=0.0, refused=0.0, backlog=offered,
        requests=1, forecasts=[forecast], early=True,
    )  # fmt: skip


def _needs_root(*commands: str) -> None:
    if os.geteuid() != 0:
        raise Unplayable("it needs root")
    for command in commands:
        if shutil.which(command) is None:
            raise Unplayable(f"{command} is not installed")


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    if process.returncode:
        raise Unplayable(f"{' '.join(command)}: {said.decode().strip()}")


FAULTS = (
    Fault("network: 30 % loss and 200 ms delay each way, six leases", bad_line, "safe rates at worst",
          prepare=far_operator, clean_up=no_namespace),
    Fault("network: no way to the operator for three leases", cut_line, "safe rates after a lease, then as before",
          prepare=far_operator, clean_up=no_namespace),
    Fault("clock: an hour ahead, and the operator starts again", clock_ahead, "nothing", prepare=settable_clocks),
    Fault("clock: an hour back, and the operator starts again", clock_back, "nothing", prepare=settable_clocks),
    Fault("disk: full where sidecars keep their leases", disk_full, "nothing; a restarted sidecar begins anew",
          spared=("a",), prepare=small_disks, clean_up=no_disks),
    Fault("files: more connections than the operator may open", out_of_files, "nothing: open streams go on",
          prepare=few_files),
    Fault("messages: twice, out of order, long after, false", odd_messages, "nothing: answered, counted once"),
)  # fmt: skip
