"""The operator's stream server in a process of its own; answers `figures` on its standard input with one JSON line."""

import asyncio
import ctypes
import datetime
import gc
import json
import resource
import sys
import time
from pathlib import Path

import psutil
import uvloop

from forefill_operator import schema, state_folder
from forefill_operator.client import Client
from forefill_operator.controller import TICK_SECONDS, Controller
from forefill_operator.kube import tls
from forefill_operator.metrics import Metrics
from forefill_operator.policy import parse_policy
from forefill_operator.stream_server import StreamServer

POLICY = {
    "apiVersion": "forefill.io/v1alpha1",
    "kind": "TokenPolicy",
    "metadata": {"name": "llm", "namespace": "shop", "uid": "uid-of-llm", "generation": 1},
    "spec": {
        "mode": "Enforce",
        "upstream": {"url": "http://llm:8000"},
        "fillRate": {"base": 1000, "min": 1000, "max": 100_000},
    },
}


class Everybody:
    """Lets in whoever comes, at the cost of nothing: what is measured is the stream."""

    async def authenticate(self, token: str) -> Client:
        return Client("shop", "web", f"pod-{token}", f"uid-{token}", {"app": "web"}, "Deployment/web")

    def expires_at(self, token: str) -> float:
        return float("inf")


def figures() -> dict[str, float]:
    """What is free goes back to the system first, so that the rest is what is in use."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return {"cpu_seconds": used.ru_utime + used.ru_stime, "rss_bytes": float(psutil.Process().memory_info().rss)}


async def serve(folder: Path) -> None:
    certificate, key = state_folder.ensure_certificate(folder, ["localhost"], datetime.datetime.now(datetime.UTC))
    context = tls.server_context()
    context.load_cert_chain(certificate, key)
    controller = Controller(first_start=True)
    controller.put_policy(parse_policy(schema.complete(POLICY)), time.monotonic())
    server = StreamServer(controller, Everybody(), Metrics(), time.monotonic)
    port = await server.start("127.0.0.1", 0, context)
    print(json.dumps({"port": port}), flush=True)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    async def tick() -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            server.deliver(controller.tick(time.monotonic()))

    ticking = asyncio.create_task(tick())
    while await reader.readline():
        print(json.dumps(figures() | {"streams": len(server.sessions)}), flush=True)
    ticking.cancel()
    await server.close("the benchmark ends")


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
