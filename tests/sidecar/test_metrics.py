"""`/metrics` in the eyes of the parsers that Prometheus' own client library has."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain

from forefill_sidecar import journal, metrics
from forefill_sidecar.loop_lag import LoopLag

GET = b"GET /a HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(("parse", "is_open_metrics"), [(open_metrics, True), (plain, False)])
async def test_every_family_can_be_read(net: Any, parse: Any, is_open_metrics: bool, tmp_path: Path) -> None:
    noted = journal.opened(str(tmp_path / "log"), None)
    assert noted is not None
    lag = LoopLag()
    lag.seconds.add(0.002)
    settings = net.policy_settings(max_wait_seconds=0.0)
    async with net.upstream_of(net.answering(net.OK)) as upstream:
        listener = net.pod_listener(upstream.url, fill_rate=0.0, burst=10.0, settings=settings)
        async with net.listening(listener, tokens=2.0) as proxy:
            for _ in range(3):
                await net.exchanged(proxy.port, GET)
            families = [*metrics.collect([proxy], lag), metrics.dropped(noted)]
            text = metrics.render(families, is_open_metrics).decode()
    await asyncio.to_thread(noted.close)

    samples = {(each.name, each.labels.get("le", "")): each.value for family in parse(text) for each in family.samples}
    wanted = {
        "offered_tokens_total": 3.0,
        "admitted_tokens_total": 2.0,
        "refused_tokens_total": 1.0,
        "requests_total": 3.0,
        "settled_up_tokens_total": 0.0,
        "settled_down_tokens_total": 0.0,
        "returned_tokens_total": 0.0,
        "would_wait_tokens_total": 0.0,
        "would_refuse_tokens_total": 0.0,
        "waiting_requests": 0.0,
        "client_connections_total": 3.0,
        "upstream_connections_open": 1.0,
        "upstream_seconds_count": 2.0,
        "wait_seconds_count": 0.0,
        "event_loop_lag_seconds_count": 1.0,
        "dropped_entries_total": 0.0,
    }
    assert {name: samples["forefill_sidecar_" + name, ""] for name in wanted} == wanted
    assert samples["forefill_sidecar_upstream_seconds_bucket", "+Inf"] == 2.0
