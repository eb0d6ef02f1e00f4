"""The operator's metrics: every name, label and help text in one place."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from forefill_protocol import messages

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PLAN_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class Metrics:
    """One registry an operator, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._messages = Counter(
            "forefill_operator_messages", "Messages received from sidecars.", ["type"], registry=self.registry
        )
        self._rejected = Counter(
            "forefill_operator_upgrades_rejected",
            "Connections refused at the upgrade.",
            ["code"],
            registry=self.registry,
        )
        self._refused = Counter(
            "forefill_operator_frames_refused",
            "Frames answered with Refused.",
            ["code"],
            registry=self.registry,
        )
        self._policies_refused = Counter(
            "forefill_operator_entries_refused",
            "Policy entries answered with Refused.",
            ["code"],
            registry=self.registry,
        )
        self._invalid = Gauge(
            "forefill_operator_policies_invalid",
            "Policies whose newest spec is not accepted.",
            registry=self.registry,
        )
        self._streams = Gauge("forefill_operator_streams", "Sidecars connected.", registry=self.registry)
        self._plan_seconds = Histogram(
            "forefill_operator_plan_seconds",
            "Time to plan all policies.",
            buckets=_PLAN_BUCKETS,
            registry=self.registry,
        )
        self._figures: dict[str, Gauge] = {}

    def message(self, message: messages.Up) -> None:
        self._messages.labels(type(message).__name__.lower()).inc()

    def upgrade_rejected(self, code: int) -> None:
        self._rejected.labels(str(code)).inc()

    def frame_refused(self, code: int) -> None:
        self._refused.labels(str(code)).inc()

    def entry_refused(self, code: int) -> None:
        self._policies_refused.labels(str(code)).inc()

    def streams(self, count: int) -> None:
        self._streams.set(count)

    def plan_took(self, seconds: float) -> None:
        self._plan_seconds.observe(seconds)

    def policies_invalid(self, count: int) -> None:
        self._invalid.set(count)

    def figures(self, by_policy: Mapping[str, Mapping[str, float]]) -> None:
        """Gauges a policy, one a figure of the controller; a policy that is gone loses its series."""
        for gauge in self._figures.values():
            gauge.clear()
        for policy, figures in by_policy.items():
            for name, value in figures.items():
                self._gauge(name).labels(policy).set(value)

    def _gauge(self, name: str) -> Gauge:
        if name not in self._figures:
            self._figures[name] = Gauge(
                f"forefill_policy_{name}", f"{name.replace('_', ' ').capitalize()} of the policy.", ["policy"],
                registry=self.registry,
            )  # fmt: skip
        return self._figures[name]

    def text(self) -> bytes:
        return generate_latest(self.registry)
