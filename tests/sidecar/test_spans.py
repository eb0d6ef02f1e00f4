"""Spans at a receiver that reads OTLP's JSON as a collector does."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from forefill_sidecar import journal

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@dataclass
class Collector:
    """Keeps the spans of each ExportTraceServiceRequest that it can make sense of, and answers `status`."""

    status: int = 200
    spans: list[dict[str, Any]] = field(default_factory=list)
    services: set[str] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"POST /v1/traces HTTP/1.1\r\n")
        assert b"content-type: application/json\r\n" in head.lower()
        body = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        for resource in json.loads(body)["resourceSpans"]:
            (name,) = [each for each in resource["resource"]["attributes"] if each["key"] == "service.name"]
            self.services.add(name["value"]["stringValue"])
            for scope in resource["scopeSpans"]:
                self.spans += scope["spans"]
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n{}" % self.status)
        writer.close()


def plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """OTLP's attributes as a dictionary; 64-bit integers come as text."""
    read = {"intValue": int, "doubleValue": float, "stringValue": str}
    return {each["key"]: read[kind](value) for each in attributes for kind, value in each["value"].items()}


async def requests_sent(net: Any, endpoint: str, *fields: bytes) -> tuple[journal.Journal, list[bytearray]]:
    noted = journal.opened(None, endpoint)
    assert noted is not None
    async with net.upstream_of(net.answering(net.OK)) as upstream:
        async with net.listening(net.pod_listener(upstream.url)) as proxy:
            proxy.note_into(noted.note)
            for more in fields:
                await net.exchanged(
                    proxy.port, b"GET /a?b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + more + b"\r\n"
                )
    await asyncio.to_thread(noted.close)
    return noted, upstream.received


def traceparent(flags: str) -> bytes:
    return f"traceparent: 00-{TRACE_ID}-{PARENT_ID}-{flags}\r\n".encode()


async def test_a_traced_request_becomes_a_span_beside_the_upstreams(net: Any) -> None:
    collector = Collector()
    server = await asyncio.start_server(collector.serve, "127.0.0.1", 0)
    endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"

    noted, received = await requests_sent(net, endpoint, traceparent("01"), traceparent("00"), b"")

    server.close()
    (span,) = collector.spans
    assert (span["traceId"], span["parentSpanId"], span["name"]) == (TRACE_ID, PARENT_ID, "GET")
    assert len(bytes.fromhex(span["spanId"])) == 8
    assert 0 < int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
    assert "status" not in span
    attributes = plain(span["attributes"])
    assert attributes.pop("forefill.wait_seconds") == pytest.approx(0.0, abs=0.01)
    assert attributes == {
        "http.request.method": "GET",
        "url.path": "/a",
        "http.response.status_code": 200,
        "http.request.body.size": 0,
        "http.response.body.size": 2,
        "forefill.policy": "ns/llm",
        "forefill.tokens": 1.0,
        "forefill.outcome": "passed",
    }
    assert collector.services == {"forefill-sidecar"}
    assert traceparent("01") in bytes(received[0])
    assert [outlet.dropped for outlet in noted.outlets] == [0]


async def test_a_collector_that_is_away_costs_no_request(net: Any) -> None:
    noted, received = await requests_sent(net, "http://127.0.0.1:9", traceparent("01"), traceparent("01"))

    assert b"".join(received).count(b"GET /a?b") == 2
    assert [outlet.dropped for outlet in noted.outlets] == [2]


async def test_a_collector_that_refuses_is_counted(net: Any) -> None:
    collector = Collector(status=503)
    server = await asyncio.start_server(collector.serve, "127.0.0.1", 0)
    endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    noted, _ = await requests_sent(net, endpoint, traceparent("01"))

    server.close()
    assert [outlet.dropped for outlet in noted.outlets] == [1]


def test_an_endpoint_that_is_no_url_is_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"the OTLP endpoint is 'collector:4318'; it must be http://HOST"):
        journal.opened(None, "collector:4318")
