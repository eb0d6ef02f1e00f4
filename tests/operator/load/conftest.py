"""A real Prometheus that scrapes a real node exporter, and servers that only pretend to be one."""

import asyncio
import os
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen
from time import monotonic, sleep

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from forefill_operator.load.prometheus import Prometheus
from forefill_operator.load.sources import PrometheusSource

BINARIES = ("prometheus", "prometheus-node-exporter")
START_SECONDS = 60.0
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture(scope="session")
def real_prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Prometheus that has scraped `node` twice, so that rate() has what it needs."""
    absent = [name for name in BINARIES if shutil.which(name) is None]
    if absent and os.environ.get("CI"):
        pytest.fail(f"CI must have {', '.join(absent)}: apt-get install {' '.join(BINARIES)}")
    if absent:
        pytest.skip(f"{', '.join(absent)} is not installed: apt-get install {' '.join(BINARIES)}")
    folder = tmp_path_factory.mktemp("prometheus")
    server, exporter = (f"127.0.0.1:{_free_port()}" for _ in BINARIES)
    scrape = {"job_name": "node", "static_configs": [{"targets": [exporter]}]}
    config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [scrape]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with ExitStack() as running:
        collectors = ("--collector.disable-defaults", *(f"--collector.{name}" for name in ("cpu", "meminfo", "netdev")))
        exporter_flags = (f"--web.listen-address={exporter}", *collectors)
        running.enter_context(_run(folder, "prometheus-node-exporter", *exporter_flags))
        running.enter_context(
            _run(
                folder,
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={server}",
            )
        )
        _wait(f"http://{server}/api/v1/query?query=count_over_time(node_memory_MemTotal_bytes[1m])%3E2", '"value"')
        yield f"http://{server}"


@contextmanager
def _run(folder: Path, *command: str) -> Iterator[None]:
    with (folder / f"{command[0]}.log").open("wb") as log:
        process = Popen(command, stdin=DEVNULL, stdout=log, stderr=STDOUT)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(url: str, text: str) -> None:
    ends_at = monotonic() + START_SECONDS
    while monotonic() < ends_at:
        try:
            with urllib.request.urlopen(url, timeout=5.0) as response:
                if text in response.read().decode():
                    return
        except (urllib.error.URLError, ConnectionError):
            pass
        sleep(0.2)
    raise AssertionError(f"{url} has not given {text} within {START_SECONDS} s")


@pytest.fixture
async def liar() -> AsyncIterator[Callable[[Answer], Awaitable[str]]]:
    """Starts a server that gives `answer` to every query; its URL."""
    servers: list[TestServer] = []

    async def start(answer: Answer) -> str:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", answer)
        server = TestServer(application)
        await server.start_server(shutdown_timeout=0.1)
        servers.append(server)
        return str(server.make_url("")).rstrip("/")

    yield start
    for server in servers:
        await server.close()


@pytest.fixture
async def ask() -> AsyncIterator[Callable[..., Prometheus]]:
    """Makes a source of the URL; `seconds` takes the time of each of its queries."""
    made: list[Prometheus] = []

    def make(url: str, seconds: list[float] | None = None, **fields: object) -> Prometheus:
        source = PrometheusSource(url=url, namespaces=["*"], **fields)  # type: ignore[arg-type]
        made.append(Prometheus(source, (seconds if seconds is not None else []).append))
        return made[-1]

    yield make
    for prometheus in made:
        await prometheus.close()
    await asyncio.sleep(0)
