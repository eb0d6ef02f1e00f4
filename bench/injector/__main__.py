"""What the webhook adds to the creation of a pod: `python -m bench.injector [--seconds 20] [--rate 50] [--burst 500]`.

On an API server and etcd of our own, with operator and injector beside them; pods need not run. Pods with and without
the annotation are created in turns at a steady rate, so that both meet the same machine; then a burst of annotated ones
at once.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from forefill_operator.kube import api, credentials
from forefill_operator.kube.api import Api

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "e2e" / "apiserver"))
import conftest  # type: ignore[import-not-found]
import test_running as harness  # type: ignore[import-not-found]

# What aiohttp opens to one host at most.
CONNECTIONS = 100
PODS = api.path("v1", "pods", harness.SHOP)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.injector", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=50.0, metavar="PODS", help="a second, of each kind")
    parser.add_argument("--burst", type=int, default=500, metavar="PODS")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="forefill-bench-") as folder:
        with conftest.serving(conftest.programs(), Path(folder)) as server:
            with harness.beside(conftest.install(server)):
                result = asyncio.run(measure(server, options))
    print(json.dumps(result) if options.json else "\n".join(f"{name}: {value}" for name, value in result.items()))
    return 0 if result["burst_injected"] == options.burst else 1


async def measure(server: Any, options: argparse.Namespace) -> dict[str, Any]:
    async with Api(credentials.from_kubeconfig(server.admin)) as client:
        await steady(client, 2.0, options.rate, "warm")
        spent = cpu_seconds()
        plain, injected = await steady(client, options.seconds, options.rate, "steady")
        spent = cpu_seconds() - spent
        begun = time.perf_counter()
        made = await burst(client, options.burst)
        took = time.perf_counter() - begun
    added = {f"added_p{q}_ms": round(quantile(injected, q) - quantile(plain, q), 2) for q in (50, 95, 99)}
    return {
        "pods_per_second": options.rate,
        "pods_of_each_kind": len(injected),
        **{f"plain_p{q}_ms": round(quantile(plain, q), 2) for q in (50, 99)},
        **{f"injected_p{q}_ms": round(quantile(injected, q), 2) for q in (50, 99)},
        **added,
        "injector_cpu_ms_per_pod": round(1000.0 * spent / len(injected), 2),
        "burst": options.burst,
        "burst_injected": sum(has for _, has in made),
        "burst_seconds": round(took, 2),
    }


def cpu_seconds() -> float:
    """Of the injector's process so far: what does not depend on who else uses the machine."""
    (injector,) = [each for each in psutil.Process().children() if "injector" in each.cmdline()]
    return sum(injector.cpu_times()[:2])


async def steady(client: Api, seconds: float, rate: float, name: str) -> tuple[list[float], list[float]]:
    """Milliseconds of each creation, without and with the annotation."""
    started = time.perf_counter()
    running = []
    for number in range(round(seconds * rate)):
        await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
        for asks in (False, True):
            running.append(asyncio.create_task(create(client, f"{name}-{number}-{'ab'[asks]}", asks)))
            await asyncio.sleep(0.5 / rate)
    results = [await task for task in running]
    if not all(has for _, has in results[1::2]) or any(has for _, has in results[::2]):
        raise SystemExit("a pod has no sidecar that should have one, or the other way round")
    return [took for took, _ in results[::2]], [took for took, _ in results[1::2]]


async def burst(client: Api, count: int) -> list[tuple[float, bool]]:
    """As many at once as the client has connections."""
    room = asyncio.Semaphore(CONNECTIONS)

    async def one(number: int) -> tuple[float, bool]:
        async with room:
            return await create(client, f"burst-{number}", True)

    return await asyncio.gather(*map(one, range(count)))


async def create(client: Api, name: str, asks: bool) -> tuple[float, bool]:
    """Milliseconds, and whether the pod has its sidecar."""
    body = harness.pod_of(name, {"forefill.io/inject": "true"} if asks else {})
    begun = time.perf_counter()
    pod = await client.create(PODS, body)
    return (time.perf_counter() - begun) * 1000.0, "initContainers" in pod["spec"]


def quantile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


if __name__ == "__main__":
    sys.exit(main())
