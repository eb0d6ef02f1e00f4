"""The operator's metrics: every name, label and help text in one place."""

from collections.abc import Mapping
from importlib import metadata

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest

from forefill_operator.controller import Figures
from forefill_protocol import messages

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PLAN_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


FIGURES = {
    "clients": "Clients with a live lease.",
    "granted": "Sum of the newest grants of live clients, tokens/s.",
    "held": "All that may be in use: grants, unacknowledged changes, safe rates of silent clients, tokens/s.",
    "held_safe": "Sum of safe rates held, tokens/s.",
    "unknown": "Held back for clients of an earlier operator that have not spoken yet, tokens/s.",
    "over_grant": "How far what is held exceeds the maximum, tokens/s; 0 except within a lease of a lowered one.",
    "max": "fillRate.max, tokens/s.",
    "target": "Fill rate by the formula, before its clamps, tokens/s.",
    "ceiling": "What the load lets be handed out at most, tokens/s; the maximum while nothing is wrong.",
    "adjusted": "Fill rate after the clamps, tokens/s.",
    "lent": "Handed out on top while the resource idles, tokens/s.",
    "available": "What the newest plan divided, tokens/s.",
    "requested": "Sum of what clients request, tokens/s.",
    "predicted_total": "Sum of what clients request, at most the maximum, tokens/s.",
    "weight_prediction": "Weight of the predicted total in the formula.",
    "weight_load": "What a load of 1 adds to the target, tokens/s; zero or negative.",
    "pool_rate": "What the overflow pool gains of it, tokens/s.",
    "short": "Offered beyond what was granted, tokens/s.",
    "would_wait": "In mode Observe what enforcement would have delayed in the last windows, tokens/s.",
    "would_refuse": "In mode Observe what enforcement would have refused in the last windows, tokens/s.",
    "waiting": "Clients whose raise waits for room.",
    "handed_on": "Tokens that idle buckets gave to clients who waited, since this operator serves the policy.",
    "trust": "Mean trust in clients' forecasts, from 0 to 1.",
    "trust_lowest": "Lowest trust in a client's forecast.",
    "skill": "Mean skill of clients' forecasts: 1 less their loss over that of the operator's own.",
    "clamped": "Clients whose demand is bounded for an anomaly.",
    "quarantined": "Clients in quarantine.",
}


def describe_process(registry: CollectorRegistry) -> None:
    """Memory, CPU, open files and start of this process, and the version it runs."""
    ProcessCollector(registry=registry)
    build = Info("forefill_build", "The version that runs.", registry=registry)
    build.info({"version": metadata.version("forefill")})


class Metrics:
    """One registry an operator, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        describe_process(self.registry)
        self._messages = Counter(
            "forefill_operator_messages", "Messages received from sidecars.", ["type"], registry=self.registry
        )
        self._messages_of: dict[type[messages.Up], Counter] = {}
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
        self._missed = Gauge(
            "forefill_operator_pods_without_sidecar",
            "Pods that asked for a sidecar and run without one.",
            registry=self.registry,
        )
        self._streams = Gauge("forefill_operator_streams", "Sidecars connected.", registry=self.registry)
        self._plan_seconds = Histogram(
            "forefill_operator_plan_seconds",
            "Time to plan all policies.",
            buckets=_PLAN_BUCKETS,
            registry=self.registry,
        )
        self._figures = {
            name: Gauge(f"forefill_policy_{name}", text, ["policy"], registry=self.registry)
            for name, text in FIGURES.items()
        }

        self._anomalies = Gauge(
            "forefill_policy_anomalies",
            "Findings on clients that stand, by kind.",
            ["policy", "kind"],
            registry=self.registry,
        )

    def message(self, message: messages.Up) -> None:
        kind = type(message)
        counter = self._messages_of.get(kind)
        if counter is None:
            counter = self._messages_of[kind] = self._messages.labels(kind.__name__.lower())
        counter.inc()

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

    def missed_pods(self, count: int) -> None:
        self._missed.set(count)

    def figures(self, by_policy: Mapping[str, Figures]) -> None:
        """Gauges a policy, one a figure of the controller; a policy that is gone loses its series."""
        for gauge in (*self._figures.values(), self._anomalies):
            gauge.clear()
        for policy, figures in by_policy.items():
            for name, gauge in self._figures.items():
                gauge.labels(policy).set(getattr(figures, name))
            for kind, count in figures.anomalies.items():
                self._anomalies.labels(policy, kind).set(count)

    def text(self) -> bytes:
        return generate_latest(self.registry)
