"""The injector's metrics: every name, label and help text in one place."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from forefill_operator.metrics import describe_process

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)
_RESULTS = ("injected", "refused", "untouched", "malformed")


class InjectorMetrics:
    """One registry an injector, so that several can live in one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        describe_process(self._registry)
        self._admissions = Counter(
            "forefill_injector_admissions", "Pods decided on, by result.", ["result"], registry=self._registry
        )
        self._seconds = Histogram(
            "forefill_injector_admission_seconds", "Time to decide.", buckets=_SECONDS, registry=self._registry
        )
        self._policies = Gauge("forefill_injector_policies", "TokenPolicies known.", registry=self._registry)
        for result in _RESULTS:
            self._admissions.labels(result)

    def admitted(self, result: str, seconds: float) -> None:
        self._admissions.labels(result).inc()
        self._seconds.observe(seconds)

    def policies(self, count: int) -> None:
        self._policies.set(count)

    def text(self) -> bytes:
        return generate_latest(self._registry)
