"""Requests written down: the access log as JSON lines, spans at a collector, and neither in any request's way."""

import asyncio
import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from forefill_protocol.policysettings import CostRoute, CostSettings
from forefill_sidecar import access_log, entry, journal
from forefill_sidecar.entry import Entry, TraceParent
from forefill_sidecar.outlet import PENDING_LIMIT, Outlet

LAST = b"Host: me\r\nConnection: close\r\n"
TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACED = f"traceparent: 00-{TRACE_ID}-{PARENT_ID}-01\r\n".encode()


def only_line(path: Path) -> dict[str, Any]:
    (line,) = path.read_text().splitlines()
    document: dict[str, Any] = json.loads(line)
    return document


async def logged(net: Any, path: Path, request: bytes, handler: Any, tokens: float = 100.0) -> dict[str, Any]:
    """The log line of one request."""
    log = journal.opened(str(path), None)
    assert log is not None
    cost = CostSettings(default=1.0, routes=[CostRoute(path="/v1/models/{model}", cost=2.0)])
    settings = net.policy_settings(cost=cost, max_wait_seconds=0.0)
    async with net.upstream_of(handler) as upstream:
        listener = net.pod_listener(upstream.url, fill_rate=0.0, burst=100.0, settings=settings)
        async with net.listening(listener, tokens=tokens) as proxy:
            proxy.note_into(log.note)
            await net.exchanged(proxy.port, request)
    await asyncio.to_thread(log.close)
    return only_line(path)


async def test_a_request_that_passes_is_one_line(net: Any, tmp_path: Path) -> None:
    request = b"POST /v1/models/gpt?key=secret HTTP/1.1\r\n" + TRACED + LAST + b"Content-Length: 3\r\n\r\nabc"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"abc")
        writer.write(net.OK)

    line = await logged(net, tmp_path / "log", request, answer)

    assert line["time"].endswith("Z")
    assert (line["wait_seconds"], line["upstream_seconds"] > 0.0, line["seconds"] > 0.0) == (0.0, True, True)
    assert {key: line[key] for key in line if not key.endswith("seconds") and key != "time"} == {
        "policy": "ns/llm",
        "method": "POST",
        "path": "/v1/models/gpt",
        "route": "/v1/models/{model}",
        "status": 200,
        "outcome": "passed",
        "request_bytes": 3,
        "response_bytes": 2,
        "tokens": 2.0,
        "trace_id": TRACE_ID,
    }


@pytest.mark.parametrize(
    ("response", "tokens", "status", "outcome"),
    [(b"", 100.0, 502, "failed"), (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", 100.0, 500, "passed")],
    ids=["no answer", "an error of the upstream's"],
)
async def test_the_line_says_what_became_of_it(
    net: Any, tmp_path: Path, response: bytes, tokens: float, status: int, outcome: str
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await net.read_head(reader)
        writer.write(response)

    line = await logged(net, tmp_path / "log", b"GET /a HTTP/1.1\r\n" + LAST + b"\r\n", answer, tokens)

    assert (line["status"], line["outcome"], line.get("route")) == (status, outcome, None)


async def test_a_refused_request_used_no_tokens(net: Any, tmp_path: Path) -> None:
    line = await logged(net, tmp_path / "log", b"GET /a HTTP/1.1\r\n" + LAST + b"\r\n", net.answering(net.OK), 0.0)

    assert (line["status"], line["outcome"], line["tokens"], line["response_bytes"]) == (429, "refused", 0.0, 0)


async def test_a_client_that_leaves_is_written_down_once(net: Any, tmp_path: Path) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    log = journal.opened(str(tmp_path / "log"), None)
    assert log is not None
    async with net.upstream_of(never) as upstream, net.listening(net.pod_listener(upstream.url)) as proxy:
        proxy.note_into(log.note)
        async with net.connected(proxy.port) as (_, writer):
            writer.write(b"GET /a HTTP/1.1\r\nHost: me\r\n\r\n")
            await net.until(lambda: bool(upstream.received) and bool(upstream.received[0]))
        await net.until(lambda: proxy.tally.clients_open == 0)
    await asyncio.to_thread(log.close)

    assert only_line(tmp_path / "log")["outcome"] == "aborted"


@pytest.mark.parametrize(
    ("value", "parent"),
    [
        (f"00-{TRACE_ID}-{PARENT_ID}-01", TraceParent(TRACE_ID, PARENT_ID, True)),
        (f"00-{TRACE_ID}-{PARENT_ID}-00", TraceParent(TRACE_ID, PARENT_ID, False)),
        (f"01-{TRACE_ID}-{PARENT_ID}-03-more", TraceParent(TRACE_ID, PARENT_ID, True)),
        (f"ff-{TRACE_ID}-{PARENT_ID}-01", None),
        (f"00-{'0' * 32}-{PARENT_ID}-01", None),
        (f"00-{TRACE_ID}-{'0' * 16}-01", None),
        (f"00-{TRACE_ID.upper()}-{PARENT_ID}-01", None),
        ("", None),
    ],
)
def test_a_traceparent_follows_its_grammar_or_counts_as_missing(value: str, parent: TraceParent | None) -> None:
    assert entry.trace_parent(value.encode()) == parent


def test_an_outlet_that_is_stuck_drops_and_counts_but_never_waits() -> None:
    go_on = threading.Event()

    def wait(_batch: Sequence[int]) -> None:
        go_on.wait(10.0)

    outlet = Outlet("stuck", wait)
    begun = time.monotonic()
    for number in range(2 * PENDING_LIMIT):
        outlet.add(number)
    go_on.set()
    outlet.close()

    assert time.monotonic() - begun < 10.0
    assert 0 < outlet.dropped <= PENDING_LIMIT


def test_what_can_not_be_delivered_is_counted() -> None:
    def fail(batch: Sequence[int]) -> None:
        raise OSError("no space left on device")

    outlet = Outlet("full", fail)
    for number in range(3):
        outlet.add(number)
    outlet.close()

    assert outlet.dropped == 3


def test_a_line_leaves_out_what_says_nothing() -> None:
    line = access_log.line(Entry(time=0.0, policy="a/b", method="GET", path="/"))

    assert line.startswith(b'{"time":"1970-01-01T00:00:00.000Z","policy":"a/b","method":"GET","path":"/","outcome"')
    assert b"null" not in line
