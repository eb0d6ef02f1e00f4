"""Metrics of the store that operators share, as one of them sees it."""

from contextlib import AbstractContextManager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


class StoreMetrics:
    """Counters and gauges that begin with `forefill_store_`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._up = Gauge("forefill_store_up", "1 while the last beat reached the store.", registry=registry)
        self._owned = Gauge("forefill_store_policies_owned", "Policies that this operator serves.", registry=registry)
        self._seconds = Histogram(
            "forefill_store_write_seconds",
            "Time until grants that had gathered were on record.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._writes_refused = Counter(
            "forefill_store_writes_refused",
            "Grants that were not sent: another operator had taken their policy over.",
            registry=registry,
        )
        self._writes_failed = Counter(
            "forefill_store_writes_failed", "Times that what was to leave could not be recorded.", registry=registry
        )
        messages = Counter("forefill_store_messages", "Messages between operators.", ["direction"], registry=registry)
        self._sent, self._received = messages.labels("sent"), messages.labels("received")

    def beaten(self, is_up: bool, owned: int) -> None:
        self._up.set(is_up)
        self._owned.set(owned)

    def writing(self) -> AbstractContextManager[object]:
        """What runs inside is a write."""
        return self._seconds.time()

    def refused(self) -> None:
        self._writes_refused.inc()

    def failed(self) -> None:
        self._writes_failed.inc()

    def sent(self, count: int) -> None:
        self._sent.inc(count)

    def received(self) -> None:
        self._received.inc()
