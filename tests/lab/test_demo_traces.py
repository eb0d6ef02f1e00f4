import os
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_lab.demo import extract, traces
from forefill_lab.demo.fleet import CAPACITY
from forefill_lab.demo.traces import CLIENTS, Row, Trace

TRACE = Trace("any", "", step_seconds=1.0, speed=2.0, first=0, scale=1.0)

rows = st.lists(st.builds(Row, rate=st.floats(0, 60), variation=st.floats(0, 2)), min_size=1, max_size=8)


@given(rows=rows, seed=st.integers(0, 9))
def test_arrivals_are_in_order_within_the_time_asked_for_and_the_same_for_the_same_seed(
    rows: list[Row], seed: int
) -> None:
    times = traces.arrivals(TRACE, rows, -2.0, 5.0, seed)
    assert times == sorted(times) == traces.arrivals(TRACE, rows, -2.0, 5.0, seed)
    assert all(-2.0 <= time < 5.0 for time in times)


def test_counted_arrivals_come_as_many_as_were_counted_evenly_spread() -> None:
    times = traces.arrivals(TRACE, [Row(8, 0.0), Row(0, 0.0), Row(4, 0.0)], 0.0, 1.5, seed=1)
    # A row of one second lasts half a second at twice the speed, and its rate is the demo's.
    assert times == pytest.approx([0.0625, 0.1875, 0.3125, 0.4375, 1.125, 1.375])


def test_random_arrivals_have_the_rate_of_their_rows_and_the_variation_of_their_gaps() -> None:
    times = traces.arrivals(TRACE, [Row(50, 1.5)], 0.0, 400.0, seed=3)
    gaps = [after - before for before, after in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert len(times) == pytest.approx(20000, rel=0.03)
    assert deviation / mean == pytest.approx(1.5, rel=0.05)


def test_a_trace_begins_at_its_first_row_and_again_after_its_last() -> None:
    rows = [Row(2, 0.0), Row(20, 0.0)]
    times = traces.arrivals(replace(TRACE, first=1), rows, 0.0, 2.0, seed=1)
    assert Counter(int(time / 0.5) for time in times) == {0: 10, 1: 1, 2: 10, 3: 1}


def test_the_shipped_traces_ask_for_less_than_the_capacity_but_for_more_than_an_equal_share_at_times() -> None:
    total = 0
    for trace in CLIENTS:
        times = traces.arrivals(trace, traces.read(trace.name), 0.0, 25.0, seed=1)
        total += len(times)
        busiest = max(Counter(int(time) for time in times).values())
        assert busiest > CAPACITY / len(CLIENTS), trace.name
    assert 0.7 < total / (25.0 * CAPACITY) < 0.85


def test_the_shipped_extracts_are_what_the_script_makes_of_the_full_traces() -> None:
    folder = os.environ.get("FOREFILL_DATA")
    if not folder:
        pytest.skip("FOREFILL_DATA does not name the folder of the full traces")
    for name, make in (("chat", extract.chat), ("shop", extract.shop), ("jobs", extract.jobs)):
        made = [Row(float(f"{rate:.6g}"), float(f"{variation:.4g}")) for rate, variation in make(Path(folder))]
        assert traces.read(name) == made
