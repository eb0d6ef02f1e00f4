import random
from typing import Any

from forefill_operator.anomaly.cadence import Cadence
from forefill_operator.anomaly.finding import Finding
from forefill_protocol.messages import PolicyReport, Spread


def entry(seconds: float = 10.0, offered: float = 200.0, latency: float | None = None, **changes: Any) -> PolicyReport:
    return PolicyReport(
        policy="ai/llm",
        window_seconds=seconds,
        offered=offered,
        admitted=offered,
        refused=0.0,
        backlog=0.0,
        requests=20,
        forecasts=[],
        upstream_seconds=None if latency is None else Spread(mean=latency, p50=latency, p95=latency),
        **changes,
    )


def found(cadence: Cadence, entries: list[PolicyReport], elapsed: float) -> list[Finding]:
    results = [cadence.inspect(each, elapsed, 10.0) for each in entries]
    return [each for each in results if each]


def test_a_report_an_interval_is_how_it_goes() -> None:
    assert found(Cadence(), [entry()] * 1000, 10.0) == []


def test_some_early_reports_are_no_offence() -> None:
    cadence = Cadence()
    for _ in range(50):
        assert found(cadence, [entry(1.0, early=True)] * 3, 1.0) == []
        assert found(cadence, [entry(7.0)], 7.0) == []


def test_reports_every_second_are_too_many() -> None:
    first = found(Cadence(), [entry(1.0)] * 30, 1.0)[0]
    assert first == Finding("Cadence", "it reports more than 5 times in an interval of 10 s, and goes on", "Ignore")


def test_windows_can_not_be_longer_than_the_time_between_reports() -> None:
    first = found(Cadence(), [entry(10.0)] * 30, 8.0)[0]
    assert first == Finding("Cadence", "its windows claim 12.0 s more than passed between its reports", "Ignore")


def test_a_slow_network_is_no_offence() -> None:
    generator, cadence, sent = random.Random(1), Cadence(), 0.0
    arrived = generator.uniform(0.0, 3.0)
    for _ in range(500):
        sent += 10.0
        came = max(arrived, sent + generator.uniform(0.0, 3.0))
        assert cadence.inspect(entry(10.0), came - arrived, 10.0) is None
        arrived = came


def test_windows_copied_to_the_last_digit_are_found() -> None:
    copies = found(Cadence(), [entry(10.000123, 431.25, latency=0.1234567)] * 10, 10.0)
    assert copies[0] == Finding(
        "Replay", "its last 5 windows repeat earlier ones to the last digit (431.25 tokens, 0.123457 s)", "Ignore"
    )


def test_a_recording_that_runs_in_a_loop_is_found() -> None:
    loop = [entry(10.0, 100.0 + part, latency=0.1 + part / 1000.0) for part in range(4)] * 5
    assert [each.kind for each in found(Cadence(), loop, 10.0)][:1] == ["Replay"]


def test_steady_demand_with_latencies_of_its_own_is_no_copy() -> None:
    generator = random.Random(2)
    entries = [entry(10.0, 200.0, latency=generator.gammavariate(4.0, 0.05)) for _ in range(200)]
    assert found(Cadence(), entries, 10.0) == []


def test_steady_demand_without_latencies_is_no_copy() -> None:
    assert found(Cadence(), [entry()] * 100, 10.0) == []
