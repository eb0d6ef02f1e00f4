"""The parts of each phase as processes: the upstream, a sidecar a client, and with Forefill the operator."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from forefill_lab.demo.processes import Processes, free_ports
from forefill_lab.demo.traces import CLIENTS

WORKERS, SERVICE_SECONDS = 8, 0.04
CAPACITY = WORKERS / SERVICE_SECONDS
# Depth of all buckets together, in seconds of the capacity, and how long a request may wait: the same in both phases.
BURST_SECONDS, QUEUE_SECONDS = 0.5, 2.0
STATIC_RATE, STATIC_BURST = CAPACITY / len(CLIENTS), CAPACITY * BURST_SECONDS / len(CLIENTS)
# While an operator can't be heard, sidecars hold half of the capacity among them.
SAFE_RATE, SAFE_BURST = STATIC_RATE / 2, STATIC_BURST / 2
POLICY = "demo/upstream"


@dataclass(frozen=True, slots=True)
class Fleet:
    """Ports by client: where requests go, and where metrics are. `operator` is the port of the operator's metrics."""

    entries: Mapping[str, int]
    admins: Mapping[str, int]
    operator: int | None = None


async def static(processes: Processes, folder: Path) -> Fleet:
    """Equal buckets that nobody retunes. Raises DemoFailed."""
    upstream = await _upstream(processes)
    options = ["--fill-rate", f"{STATIC_RATE}", "--burst", f"{STATIC_BURST}", "--queue-seconds", f"{QUEUE_SECONDS}"]
    return await _sidecars(processes, upstream, {trace.name: options for trace in CLIENTS}, None)


async def forefill(processes: Processes, folder: Path) -> Fleet:
    """An operator and sidecars that report to it. Raises DemoFailed."""
    upstream = await _upstream(processes)
    stream, health = free_ports(2)
    policies, state = folder / "policies", folder / "state"
    policies.mkdir()
    state.mkdir(mode=0o700)
    (policies / "demo.yaml").write_text(json.dumps(manifest(upstream), indent=2))
    (state / "tokens.csv").write_text("".join(f"token-{t.name},{t.name},uid-{t.name},demo\n" for t in CLIENTS))
    folders = ["--policies", str(policies), "--state", str(state)]
    addresses = ["--listen", f"127.0.0.1:{stream}", "--health", f"127.0.0.1:{health}"]
    await processes.start("operator", "forefill", "operator", *folders, *addresses)
    await processes.ready("operator", health, "/readyz")
    options = {trace.name: _joining(trace.name, stream, folder) for trace in CLIENTS}
    return await _sidecars(processes, upstream, options, health)


def manifest(upstream: int) -> dict[str, object]:
    """The TokenPolicy, as JSON, which is YAML. Reports come ten times as often as in production, as the traces do."""
    namespace, _, name = POLICY.partition("/")
    return {
        "apiVersion": "forefill.io/v1alpha1",
        "kind": "TokenPolicy",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "mode": "Enforce",
            "upstream": {"url": f"http://127.0.0.1:{upstream}"},
            "fillRate": {"base": CAPACITY / 2, "min": CAPACITY / 2, "max": CAPACITY},
            "burst": {"seconds": BURST_SECONDS},
            "report": {"intervalSeconds": 1, "leaseSeconds": 4},
            "queue": {"maxWaitSeconds": QUEUE_SECONDS, "maxRequests": 1000},
        },
    }


async def _upstream(processes: Processes) -> int:
    (port,) = free_ports(1)
    await processes.start(
        "upstream",
        "forefill_lab.demo.upstream",
        *("--port", str(port), "--workers", str(WORKERS), "--service-seconds", str(SERVICE_SECONDS)),
    )
    await processes.ready("upstream", port, "/")
    return port


def _joining(client: str, stream: int, folder: Path) -> list[str]:
    token = folder / f"{client}.token"
    token.write_text(f"token-{client}")
    return [
        *("--operator", f"https://127.0.0.1:{stream}", "--policy", POLICY),
        *("--token-file", str(token), "--ca-file", str(folder / "state/ca.crt")),
        *("--fill-rate", f"{SAFE_RATE}", "--burst", f"{SAFE_BURST}", "--queue-seconds", f"{QUEUE_SECONDS}"),
    ]


async def _sidecars(
    processes: Processes, upstream: int, options: Mapping[str, list[str]], operator: int | None
) -> Fleet:
    ports = free_ports(2 * len(options))
    entries = dict(zip(options, ports[: len(options)], strict=True))
    admins = dict(zip(options, ports[len(options) :], strict=True))
    for name, words in options.items():
        await processes.start(
            f"sidecar of {name}",
            *("forefill", "sidecar", "--listen", f"127.0.0.1:{entries[name]}", "--admin", f"127.0.0.1:{admins[name]}"),
            *("--upstream", f"http://127.0.0.1:{upstream}", "--grace-seconds", "1", *words),
        )
    for name, port in admins.items():
        await processes.ready(f"sidecar of {name}", port, "/readyz")
    return Fleet(entries, admins, operator)
