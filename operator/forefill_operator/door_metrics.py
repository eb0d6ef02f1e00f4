"""What came to the operator's door and was not let in, or was put out again: every name and help text in one place."""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge

ConnectionRefusal = Literal["failures", "crowd", "full", "handshake"]
StreamEnd = Literal["refused", "expired", "unreviewed", "silent", "flood", "nonsense", "replaced"]


class DoorMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._connections = Counter(
            "forefill_operator_connections_refused",
            "Connections closed before a request: handshake (no TLS 1.3 in time), failures (too many of the address "
            "lately), crowd (too many of the address at once), full (as many as the process may have).",
            ["reason"],
            registry=registry,
        )
        self._tickets = Counter(
            "forefill_operator_tickets",
            "Tickets presented, by use (opens a stream, proves a holding) and result.",
            ["use", "result"],
            registry=registry,
        )
        self._reviews = Counter(
            "forefill_operator_token_reviews",
            "Tokens judged for a stream, by result (accepted, refused, unavailable).",
            ["result"],
            registry=registry,
        )
        self._ended = Counter(
            "forefill_operator_streams_ended", "Streams ended by the operator.", ["reason"], registry=registry
        )
        self._throttled = Counter(
            "forefill_operator_messages_dropped", "Messages over a stream's rate, never decoded.", registry=registry
        )
        self._unacknowledged = Gauge(
            "forefill_operator_ca_unacknowledged",
            "Streams whose sidecar has not said that it trusts the newest CA bundle.",
            registry=registry,
        )

    def connection_refused(self, reason: ConnectionRefusal) -> None:
        self._connections.labels(reason).inc()

    def ticket(self, use: Literal["opens", "proves"], result: str) -> None:
        self._tickets.labels(use, result).inc()

    def reviewed(self, result: Literal["accepted", "refused", "unavailable"]) -> None:
        self._reviews.labels(result).inc()

    def stream_ended(self, reason: StreamEnd) -> None:
        self._ended.labels(reason).inc()

    def dropped(self) -> None:
        self._throttled.inc()

    def ca_unacknowledged(self, streams: int) -> None:
        self._unacknowledged.set(streams)
