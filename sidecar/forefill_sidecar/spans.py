"""Spans for requests that their callers trace, sent as OTLP/HTTP JSON by a thread of its own.

`traceparent` passes untouched, so the upstream's span is the caller's child, and this one stands beside it.
"""

import http.client
import secrets
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from forefill_sidecar.entry import Entry

PATH: Final = "/v1/traces"
TIMEOUT_SECONDS: Final = 5.0
# opentelemetry-proto, trace.proto: Span.SpanKind and Status.StatusCode.
_CLIENT_KIND, _ERROR_CODE = 3, 2


def document(entries: Sequence[Entry]) -> bytes:
    """An ExportTraceServiceRequest as OTLP's JSON has it: ids in hexadecimal, 64-bit numbers as text."""
    resource = {"attributes": [_attribute("service.name", "forefill-sidecar")]}
    spans = {"scope": {"name": "forefill"}, "spans": [_span(entry) for entry in entries]}
    return msgspec.json.encode({"resourceSpans": [{"resource": resource, "scopeSpans": [spans]}]})


def _span(entry: Entry) -> dict[str, object]:
    parent = entry.trace
    attributes = [
        _attribute("http.request.method", entry.method),
        _attribute("url.path", entry.path),
        _attribute("http.route", entry.route),
        _attribute("http.response.status_code", entry.status),
        _attribute("http.request.body.size", entry.request_bytes),
        _attribute("http.response.body.size", entry.response_bytes),
        _attribute("forefill.policy", entry.policy),
        _attribute("forefill.tokens", entry.tokens),
        _attribute("forefill.wait_seconds", entry.wait_seconds),
        _attribute("forefill.outcome", entry.outcome),
    ]
    span: dict[str, object] = {
        "traceId": parent.trace_id if parent else "",
        "spanId": secrets.token_hex(8),
        "parentSpanId": parent.parent_id if parent else "",
        "name": f"{entry.method} {entry.route}" if entry.route else entry.method,
        "kind": _CLIENT_KIND,
        "startTimeUnixNano": _nanoseconds(entry.time),
        "endTimeUnixNano": _nanoseconds(entry.time + entry.seconds),
        "attributes": [attribute for attribute in attributes if attribute is not None],
    }
    if entry.outcome != "passed" or (entry.status or 0) >= 500:
        span["status"] = {"code": _ERROR_CODE}
    return span


def _attribute(key: str, value: str | int | float | None) -> dict[str, object] | None:
    if value is None:
        return None
    kinds: dict[type, tuple[str, object]] = {
        int: ("intValue", str(value)),
        float: ("doubleValue", value),
        str: ("stringValue", value),
    }
    name, plain = kinds[type(value)]
    return {"key": key, "value": {name: plain}}


def _nanoseconds(seconds: float) -> str:
    return str(int(seconds * 1e6) * 1000)


class OtlpSink:
    """Posts to a collector. `endpoint` is its base URL, as OTEL_EXPORTER_OTLP_ENDPOINT has it.

    Raises ValueError with a sentence when that is no URL.
    """

    def __init__(self, endpoint: str) -> None:
        url = urlsplit(endpoint)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"the OTLP endpoint is {endpoint!r}; it must be http://HOST[:PORT] (or https)")
        self._kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        self._host, self._port = url.hostname, url.port
        self._path = url.path.rstrip("/") + PATH

    def deliver(self, entries: Sequence[Entry]) -> None:
        """Raises OSError when the collector is away or does not take them."""
        connection = self._kind(self._host, self._port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("POST", self._path, document(entries), {"Content-Type": "application/json"})
            status = connection.getresponse().status
        except http.client.HTTPException as failure:
            raise ConnectionError(f"the collector speaks no HTTP: {failure!r}") from None
        finally:
            connection.close()
        if status >= 300:
            raise ConnectionError(f"the collector answered {status}")
