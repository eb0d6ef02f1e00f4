"""An operator with many policies: `python -m bench.policies [--policies 1000] [--seconds 60]`.

On an API server and etcd of our own. How long until every policy has its status, what the operator costs afterwards in
memory and CPU, and how often it calls the API server when nothing changes.
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
from forefill_operator.policy import API_VERSION, PLURAL

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "e2e" / "apiserver"))
import conftest  # type: ignore[import-not-found]
import test_running as harness  # type: ignore[import-not-found]

POLICIES = api.path(API_VERSION, PLURAL, harness.SHOP)
AT_ONCE = 50


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.policies", description=__doc__)
    parser.add_argument("--policies", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0, help="over which a quiet operator is watched")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="forefill-bench-") as folder:
        with conftest.serving(conftest.programs(), Path(folder)) as server:
            with harness.beside(conftest.install(server)):
                result = asyncio.run(measure(server, options))
    print(json.dumps(result) if options.json else "\n".join(f"{name}: {value}" for name, value in result.items()))
    return 0


async def measure(server: Any, options: argparse.Namespace) -> dict[str, Any]:
    operator = next(each for each in psutil.Process().children() if "operator" in each.cmdline())
    async with Api(credentials.from_kubeconfig(server.admin)) as client:
        begun = time.perf_counter()
        await create(client, options.policies)
        created = time.perf_counter() - begun
        while await with_status(client) < options.policies:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        accepted = time.perf_counter() - begun
    await asyncio.sleep(5.0)
    cpu, calls = sum(operator.cpu_times()[:2]), audited(server)
    await asyncio.sleep(options.seconds)
    return {
        "policies": options.policies,
        "created_seconds": round(created, 1),
        "all_accepted_seconds": round(accepted, 1),
        "operator_rss_mb": round(operator.memory_info().rss / 1e6, 1),
        "quiet_cpu_percent": round(100.0 * (sum(operator.cpu_times()[:2]) - cpu) / options.seconds, 1),
        "quiet_calls_per_minute": round((audited(server) - calls) * 60.0 / options.seconds, 1),
    }


async def create(client: Api, count: int) -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with room:
            body = {**harness.POLICY, "metadata": {"name": f"many-{number}", "namespace": harness.SHOP}}
            await client.create(POLICIES, body)

    await asyncio.gather(*map(one, range(count)))


async def with_status(client: Api) -> int:
    listing = await client.list(POLICIES)
    return sum(
        body["metadata"]["name"].startswith("many-") and "observedGeneration" in (body.get("status") or {})
        for body in listing.items
    )


def audited(server: Any) -> int:
    """Calls of the operator so far, but for those of its Lease."""
    user = f"system:serviceaccount:{harness.SYSTEM}:forefill-operator"
    events = (json.loads(line) for line in server.audit.read_text().splitlines())
    return sum(
        event["user"]["username"] == user and (event.get("objectRef") or {}).get("resource") != "leases"
        for event in events
    )


if __name__ == "__main__":
    sys.exit(main())
