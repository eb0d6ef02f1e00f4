"""What appraising costs: processor time of a report, memory of a client, and shadows of a hundred thousand."""

import gc
import random
import time
import tracemalloc
from collections.abc import Iterator

from forefill_operator.appraisal import Appraiser
from forefill_operator.client import Client
from forefill_operator.shadow import Shadow
from forefill_operator.spec import Spec
from forefill_protocol.messages import Forecast, PolicyReport, Spread

CLIENTS, WINDOWS = 500, 60
SHADOWS = 100_000


def client(number: int) -> Client:
    return Client("ai", "default", f"web-{number}", f"uid-{number}", workload=f"Deployment/web-{number % 50}")


def report(generator: random.Random) -> PolicyReport:
    rate = max(generator.gauss(30.0, 8.0), 0.0)
    told = [Forecast(mean=30.0 + ahead, p50=30.0, p90=40.5, p95=43.2) for ahead in range(3)]
    latency = generator.gammavariate(4.0, 0.05)
    return PolicyReport(
        policy="ai/llm",
        window_seconds=10.0,
        offered=10.0 * rate,
        admitted=10.0 * rate,
        refused=0.0,
        backlog=0.0,
        requests=30,
        forecasts=told,
        cost=Spread(mean=10.0, p50=9.0, p95=18.0),
        upstream_seconds=Spread(mean=latency, p50=latency, p95=2.0 * latency),
    )


def of_a_report(spec: Spec) -> tuple[float, float]:
    """Microseconds of a report in the best round, and bytes that a client keeps of the reports that are freed."""
    generator = random.Random(1)
    clients = [client(number) for number in range(CLIENTS)]
    gc.collect()
    tracemalloc.start()
    appraiser = Appraiser(spec)
    for window in range(WINDOWS):
        for each in clients:
            appraiser.report(each, report(generator), 10.0 * window)
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0] / CLIENTS
    tracemalloc.stop()
    rounds = [[report(generator) for _ in clients] for _ in range(WINDOWS)]
    spent = []
    for window, entries in enumerate(rounds, WINDOWS):
        began = time.process_time()
        for each, entry in zip(clients, entries, strict=True):
            appraiser.report(each, entry, 10.0 * window)
        spent.append(time.process_time() - began)
    return 1e6 * min(spent) / CLIENTS, kept


def of_all_shadows() -> float:
    """Milliseconds in which SHADOWS shadows take a window and forecast the next, in the best of five."""
    generator = random.Random(2)
    shadows = [Shadow() for _ in range(SHADOWS)]
    spent = []
    for rates in windows(generator, 5):
        began = time.process_time()
        for shadow, rate in zip(shadows, rates, strict=True):
            shadow.observe(rate)
        spent.append(time.process_time() - began)
    return 1e3 * min(spent)


def windows(generator: random.Random, count: int) -> Iterator[list[float]]:
    for _ in range(count):
        yield [generator.uniform(0.0, 60.0) for _ in range(SHADOWS)]
