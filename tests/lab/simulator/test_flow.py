"""A line in front of a bucket: first come, first served, in whole requests, counted by the tick they came in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_lab.simulator.flow import Flow
from forefill_lab.simulator.timeline import Timeline


def make_flow(rate: float, burst: float, unit: float = 1.0, full: bool = True) -> Flow:
    flow = Flow(Timeline(1.0), unit)
    flow.retune(0.0, rate, burst)
    flow.bucket.tokens = burst if full else 0.0
    return flow


def at(flow: Flow, seconds: float) -> float:
    flow.timeline.now, flow.timeline.tick = seconds, int(seconds)
    return seconds


def counted(flow: Flow) -> tuple[float, float, float, float]:
    return flow.on_time, flow.late, flow.dropped, flow.waiting


def test_what_the_bucket_holds_passes_at_once() -> None:
    flow = make_flow(rate=1.0, burst=5.0)
    flow.arrive(0.0, 4.0)
    assert counted(flow) == (4.0, 0.0, 0.0, 0.0)


def test_the_rest_waits_for_the_bucket_and_is_late_in_another_tick() -> None:
    flow = make_flow(rate=2.0, burst=2.0)
    flow.arrive(0.0, 5.0)
    flow.serve(at(flow, 0.5))
    assert counted(flow) == (3.0, 0.0, 0.0, 2.0)
    flow.begin_tick()
    flow.serve(at(flow, 1.5))
    assert counted(flow) == (0.0, 2.0, 0.0, 0.0)
    assert flow.waits == [2.0]


def test_requests_are_whole() -> None:
    flow = make_flow(rate=1.0, burst=10.0, unit=4.0, full=False)
    flow.arrive(0.0, 8.0)
    flow.serve(at(flow, 3.9))
    assert counted(flow) == (0.0, 0.0, 0.0, 8.0)
    flow.serve(at(flow, 4.0))
    assert flow.waiting == 4.0


def test_a_request_dearer_than_the_burst_passes_a_full_bucket_and_is_paid_off() -> None:
    flow = make_flow(rate=1.0, burst=2.0, unit=6.0)
    flow.arrive(0.0, 12.0)
    assert (flow.on_time, flow.bucket.tokens) == (6.0, -4.0)
    flow.serve(at(flow, 5.9))
    assert flow.waiting == 6.0
    flow.serve(at(flow, 6.1))
    assert flow.waiting == 0.0


def test_nothing_runs_over_while_somebody_waits() -> None:
    """However rarely the flow is looked at, the bucket is emptied each time it is full."""
    often, seldom = (make_flow(rate=1.0, burst=2.0, unit=6.0, full=False) for _ in range(2))
    for flow in (often, seldom):
        flow.arrive(0.0, 60.0)
    for look in range(1, 400):
        often.serve(at(often, look / 10))
    seldom.serve(at(seldom, 39.9))
    assert seldom.waiting == often.waiting
    assert seldom.bucket.tokens == pytest.approx(often.bucket.tokens)


def test_who_waits_too_long_is_dropped() -> None:
    flow = make_flow(rate=0.0, burst=0.0)
    flow.max_wait_seconds = 5.0
    flow.arrive(0.0, 3.0)
    flow.serve(at(flow, 4.9))
    assert counted(flow) == (0.0, 0.0, 0.0, 3.0)
    flow.serve(at(flow, 5.0))
    assert counted(flow) == (0.0, 0.0, 3.0, 0.0)
    assert flow.waited == pytest.approx(3.0 * 4.9 + 0.1 * 1.5)


def test_the_last_find_no_place_in_a_full_line() -> None:
    flow = make_flow(rate=1.0, burst=1.0)
    flow.max_waiting = 4.0
    flow.arrive(0.0, 10.0)
    assert counted(flow) == (1.0, 0.0, 5.0, 4.0)


def test_a_line_that_empties_between_two_looks_waits_only_until_then() -> None:
    flow = make_flow(rate=10.0, burst=10.0, full=False)
    flow.arrive(0.0, 5.0)
    flow.serve(at(flow, 4.0))
    assert flow.waited == pytest.approx(5.0 * 0.5 / 2)


def test_an_open_gate_lets_everything_pass_and_a_denying_one_nothing() -> None:
    flow = make_flow(rate=0.0, burst=0.0)
    flow.passes_all = True
    flow.arrive(0.0, 7.0)
    flow.passes_all, flow.denies_all = False, True
    flow.arrive(0.0, 2.0)
    assert counted(flow) == (7.0, 0.0, 2.0, 0.0)


@given(
    rate=st.floats(0.0, 20.0),
    burst=st.floats(0.0, 20.0),
    unit=st.floats(0.1, 10.0),
    arrivals=st.lists(st.floats(0.0, 50.0), min_size=1, max_size=40),
)
def test_tokens_are_neither_lost_nor_made_and_the_bucket_bounds_what_passes(
    rate: float, burst: float, unit: float, arrivals: list[float]
) -> None:
    flow = make_flow(rate, burst, unit)
    flow.max_wait_seconds, flow.max_waiting = 5.0, 100.0
    for tick, tokens in enumerate(arrivals):
        if tokens:
            flow.arrive(at(flow, float(tick)), tokens)
        flow.serve(at(flow, tick + 0.999))
        totals = flow.meter.totals
        assert totals.admitted <= burst + rate * (tick + 1) + unit + 1e-6
        assert totals.offered == pytest.approx(totals.admitted + totals.refused + flow.waiting, abs=1e-6)
