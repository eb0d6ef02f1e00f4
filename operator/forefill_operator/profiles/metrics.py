"""Metrics of profiles and fits."""

from collections.abc import Set

from prometheus_client import CollectorRegistry, Counter, Gauge

from forefill_operator.profiles.past import Fitted
from forefill_operator.profiles.pasts import Key


class ProfileMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._inherited = Counter(
            "forefill_profile_inherited",
            "Times that a new pod was told what its workload usually offers.",
            registry=registry,
        )
        self._fits = Counter("forefill_profile_fits", "Workloads fitted.", ["outcome"], registry=registry)
        for outcome in ("done", "failed"):
            self._fits.labels(outcome)
        self._seconds = Gauge("forefill_profile_fit_seconds", "How long the last fits took.", registry=registry)
        self._best = Gauge(
            "forefill_workload_best_model",
            "Skill of the model that would serve the workload best: 1 - its error over the last value's.",
            ["policy", "workload", "model"],
            registry=registry,
        )
        self._named: dict[Key, str] = {}

    def inherited(self) -> None:
        self._inherited.inc()

    def fitted(self, outcome: str, workloads: int) -> None:
        self._fits.labels(outcome).inc(workloads)

    def fits_took(self, seconds: float) -> None:
        self._seconds.set(seconds)

    def keep(self, keys: Set[Key]) -> None:
        """Only these workloads keep their series."""
        for key in self._named.keys() - keys:
            self._best.remove(key.policy, key.workload, self._named.pop(key))

    def best(self, key: Key, fitted: Fitted) -> None:
        """One series a workload."""
        if before := self._named.get(key):
            self._best.remove(key.policy, key.workload, before)
        self._named[key] = fitted.best
        self._best.labels(key.policy, key.workload, fitted.best).set(fitted.skills[fitted.best])
