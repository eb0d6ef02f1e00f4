"""What a sidecar costs a pod on a real node: `python -m bench.pods [--pods 10]`.

Start: from a pod's start to Ready, with and without a sidecar, in turns. Memory and CPU: of the sidecar's container
once it idles, as the kernel counts them, and the process's resident set.
"""

import argparse
import datetime
import json
import sys
import time
from statistics import median

from bench.cluster import checks, manifests, shop

from forefill_lab.cluster.kube import HEALTH_PORT, Kube, connect
from forefill_lab.cluster.kubectl import Failed, Object

NAMESPACE = "bench-pods"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.pods", description=__doc__)
    parser.add_argument("--pods", type=int, default=10, help="of each kind")
    parser.add_argument("--idle", type=float, default=60.0, metavar="SECONDS", help="over which CPU is measured")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    kube = connect()
    kube.install()
    try:
        result = measure(kube, options.pods, options.idle)
    finally:
        kube.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait")
        kube.uninstall()
    print(json.dumps(result) if options.json else "\n".join(f"{name}: {value}" for name, value in result.items()))
    return 0


def measure(kube: Kube, count: int, idle_seconds: float) -> dict[str, object]:
    image = kube.cluster.operator_image
    kube.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait")
    usual = {"intervalSeconds": 10, "leaseSeconds": 30}
    kube.apply(shop.workload.namespace(NAMESPACE), shop.workload.policy("llm", NAMESPACE, report=usual))
    ready: dict[str, list[float]] = {"plain": [], "injected": []}
    for number in range(count):
        for kind, annotations in (("plain", {}), ("injected", manifests.ASKS)):
            name = f"{kind}-{number}"
            spec = {"containers": [manifests.container(image)]}
            kube.apply(manifests.pod(name, spec, annotations, NAMESPACE))
            kube.until(lambda name=name: checks.is_ready(kube.get("pod", "-n", NAMESPACE, name)), f"{name} is ready")
            ready[kind].append(seconds_to_ready(kube.get("pod", "-n", NAMESPACE, name)))
    names = [f"injected-{number}" for number in range(count)]
    before = {name: sample(kube, name) for name in names}
    time.sleep(idle_seconds)
    after = {name: sample(kube, name) for name in names}
    plain, injected = median(ready["plain"]), median(ready["injected"])
    return {
        "pods": count,
        "ready_seconds_plain": round(plain, 2),
        "ready_seconds_injected": round(injected, 2),
        "start_overhead_seconds": round(injected - plain, 2),
        "sidecar_start_to_ready_seconds": round(median(started(kube, name) for name in names), 2),
        "sidecar_rss_mb": round(median(rss for rss, _ in after.values()) / 1e6, 1),
        "sidecar_idle_millicores": round(
            1000.0 * median((after[name][1] - before[name][1]) / idle_seconds for name in names), 2
        ),
    }


def seconds_to_ready(pod: Object) -> float:
    """From creation to Ready, in whole seconds as the API server keeps them."""
    ready = next(each for each in pod["status"]["conditions"] if each["type"] == "Ready")
    return (when(ready["lastTransitionTime"]) - when(pod["metadata"]["creationTimestamp"])).total_seconds()


def when(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def started(kube: Kube, name: str) -> float:
    """From the sidecar container's start to that of the app behind it, which waits for its start-up probe."""
    status = kube.get("pod", "-n", NAMESPACE, name)["status"]
    sidecar = next(each for each in status["initContainerStatuses"] if each["name"] == "forefill")
    app = status["containerStatuses"][0]
    return (when(app["state"]["running"]["startedAt"]) - when(sidecar["state"]["running"]["startedAt"])).total_seconds()


def sample(kube: Kube, name: str) -> tuple[float, float]:
    """Resident bytes and CPU seconds of the sidecar's process."""
    rss = kube.metric(NAMESPACE, name, HEALTH_PORT, "process_resident_memory_bytes")
    return rss, kube.metric(NAMESPACE, name, HEALTH_PORT, "process_cpu_seconds_total")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failed:
        sys.exit(str(failed))
