"""Metrics of profiles and fits."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from forefill_operator.status import BestModel


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

    def inherited(self) -> None:
        self._inherited.inc()

    def fitted(self, outcome: str, workloads: int) -> None:
        self._fits.labels(outcome).inc(workloads)

    def fits_took(self, seconds: float) -> None:
        self._seconds.set(seconds)

    def best_models(self, by_policy: Mapping[str, Iterable[BestModel]]) -> None:
        """One series a workload, and none of those that are forgotten."""
        self._best.clear()
        for policy, best_models in by_policy.items():
            for best in best_models:
                self._best.labels(policy, best.workload, best.model).set(best.skill)
