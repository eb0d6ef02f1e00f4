import asyncio
import os
from pathlib import Path

import pytest

from forefill_lab.demo import scrape
from forefill_lab.demo.processes import DemoFailed, Processes, free_ports


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules the started processes can run."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


async def test_a_process_that_ends_at_once_is_named_with_its_last_words(modules: Path) -> None:
    (modules / "quits.py").write_text("import sys\nsys.exit('no room at the inn')\n")
    processes = Processes(modules)
    await processes.start("guest", "quits")
    with pytest.raises(DemoFailed, match=r"^the guest ended with status 1: no room at the inn$"):
        await processes.ready("guest", free_ports(1)[0], "/")
    await processes.end()


async def test_a_process_that_ignores_the_polite_signal_is_ended_all_the_same(modules: Path) -> None:
    (modules / "stays.py").write_text(
        "import os, pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pathlib.Path({str(modules / 'pid')!r}).write_text(str(os.getpid()))\n"
        "time.sleep(300)\n"
    )
    pid = modules / "pid"
    os.mkfifo(pid)
    processes = Processes(modules)
    await processes.start("guest", "stays")
    # Reading a pipe waits for the process to write.
    number = int(await asyncio.to_thread(pid.read_text))
    await processes.end()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_free_ports_are_different_ones() -> None:
    assert len(set(free_ports(20))) == 20


def test_metrics_are_summed_over_their_labels() -> None:
    text = '# HELP a b\n# TYPE a gauge\na{policy="x",le="+Inf"} 1.5\na{policy="y"} 2\nb 3e2\n'
    assert scrape.parse(text) == {"a": 3.5, "b": 300.0}


async def test_a_port_that_nobody_listens_on_raises_what_callers_expect() -> None:
    with pytest.raises(OSError, match=r"refused|Connect"):
        await scrape.get(free_ports(1)[0], "/")


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n"])
async def test_what_is_no_http_raises_what_callers_expect(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        with pytest.raises(OSError, match="gave no HTTP answer"):
            await scrape.get(server.sockets[0].getsockname()[1], "/")
