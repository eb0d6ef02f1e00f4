"""Metrics of loads: every name, label and help text in one place."""

from collections.abc import Callable, Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from forefill_operator.load.watch import Watch
from forefill_operator.shaping import LoadState

_QUERY_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_STATES = get_args(LoadState)


def query_seconds(registry: CollectorRegistry) -> Callable[[str], Callable[[float], None]]:
    """By the name of a source, what takes the seconds of each of its queries."""
    histogram = Histogram(
        "forefill_operator_load_query_seconds",
        "Time of a query for a load, by source.",
        ["source"],
        buckets=_QUERY_BUCKETS,
        registry=registry,
    )
    return lambda source: histogram.labels(source).observe


class LoadCollector(Collector):
    """Reads the loads when it is scraped; a policy that is gone has no series."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def collect(self) -> Iterator[Metric]:
        part = GaugeMetricFamily(
            "forefill_policy_load",
            "Load of the upstream as it was measured last, filtered, from 0 to 1.",
            labels=["policy", "part"],
        )
        state = GaugeMetricFamily(
            "forefill_policy_load_state",
            "1 for the state that the load is in: Known, Held, Decaying or Unknown.",
            labels=["policy", "state"],
        )
        age = GaugeMetricFamily(
            "forefill_policy_load_age_seconds", "Since the load was measured; 0 while unknown.", labels=["policy"]
        )
        faults = CounterMetricFamily(
            "forefill_policy_load_faults", "Measurements that gave no load, by fault.", labels=["policy", "kind"]
        )
        for key, watched in self._watch.watched.items():
            for name, value in watched.tracker.measured().items():
                part.add_metric([key, name], value)
            for kind, count in watched.counts.items():
                faults.add_metric([key, kind], count)
            if watched.load is not None:
                age.add_metric([key], watched.load.age_seconds)
                for name in _STATES:
                    state.add_metric([key, name], float(name == watched.load.state))
        yield from (part, state, age, faults)
