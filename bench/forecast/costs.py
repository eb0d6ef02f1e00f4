"""What learning of workloads costs the operator: processor time of a report and of a new pod, memory of a workload."""

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.anomaly.cost import SHADOWS, of_all_shadows
from prometheus_client import CollectorRegistry

from forefill_operator import manifests
from forefill_operator.client import Client
from forefill_operator.profiles.calendar import Calendar
from forefill_operator.profiles.history import WINDOWS
from forefill_operator.profiles.past import Past
from forefill_operator.profiles.profiles import Profiles
from forefill_protocol.messages import Forecast, PolicyReport, Report

PODS, WORKLOADS, ROUNDS = 1000, 50, 20
INTERVAL = 10.0
POLICIES = Path(__file__).parents[1] / "anomaly"


def report(key: str, sequence: int) -> Report:
    forecasts = [Forecast(mean=3.0, p50=3.0, p90=4.0, p95=5.0)] * 3
    return Report(sequence, [PolicyReport(key, INTERVAL, 30.0, 30.0, 0.0, 0.0, 3, forecasts)])


def table() -> Iterator[str]:
    (policy,) = manifests.read_folder(POLICIES, {}).values()
    profiles = Profiles({policy.key: policy}.get, CollectorRegistry())
    pods = [
        Client(policy.namespace, "default", f"web-{number}", f"uid-{number}", {}, f"Deployment/{number % WORKLOADS}")
        for number in range(PODS)
    ]
    heard = best_of(
        ROUNDS, lambda window: [profiles.heard(pod, report(policy.key, window), INTERVAL * window) for pod in pods]
    )
    now = INTERVAL * ROUNDS
    told = best_of(ROUNDS, lambda window: [profiles.inherited(pod, policy.key, now) for pod in pods])
    yield (
        f"A report costs {heard / PODS:.1f} us of one core in the best of {ROUNDS} rounds, what a new pod inherits "
        f"{told / PODS:.0f} us, and a workload's past {memory(policy.key) / 1e3:.0f} kB after {WINDOWS} windows. "
        f"{SHADOWS} shadows take a window in {of_all_shadows():.0f} ms."
    )


def best_of(rounds: int, work: Callable[[int], object]) -> float:
    """Microseconds of processor time."""
    spent = []
    for number in range(1, rounds + 1):
        began = time.process_time()
        work(number)
        spent.append(time.process_time() - began)
    return 1e6 * min(spent)


def memory(key: str) -> float:
    """Bytes of a past whose history is full."""
    calendar = Calendar()
    (entry,) = report(key, 1).entries
    gc.collect()
    tracemalloc.start()
    past = Past(INTERVAL)
    for window in range(WINDOWS + 10):
        now = window * INTERVAL
        past.hear("pod", entry, calendar.quarter(now, "UTC"), now, now)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return float(held)
