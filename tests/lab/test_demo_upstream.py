import asyncio
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from forefill_lab.demo.load import Load
from forefill_lab.demo.processes import Processes, free_ports
from forefill_lab.demo.upstream import Workers


def test_requests_beyond_the_workers_wait_for_the_first_that_is_free() -> None:
    workers = Workers(2, 1.0)
    assert [workers.take(now) for now in (0.0, 0.5, 0.6, 0.6, 9.0)] == [1.0, 1.5, 2.0, 2.5, 10.0]


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60))
def test_no_more_is_served_at_once_than_there_are_workers_and_in_the_order_of_arrival(times: list[float]) -> None:
    workers = Workers(3, 0.5)
    done = [workers.take(now) for now in sorted(times)]
    assert all(before <= after for before, after in pairwise(done))
    assert all(later - earlier >= 0.5 - 1e-9 for earlier, later in zip(done, done[3:], strict=False))


async def test_every_request_of_an_open_loop_is_answered_by_the_real_server(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    (port,) = free_ports(1)
    try:
        options = ("--port", str(port), "--workers", "2", "--service-seconds", "0.02")
        await processes.start("upstream", "forefill_lab.demo.upstream", *options)
        await processes.ready("upstream", port, "/")
        load = Load("any", port, asyncio.get_running_loop().time())
        await load.play([0.0] * 10)
        await load.drain(10.0)
    finally:
        await processes.end()
    assert (load.sent, load.pending, dict(load.statuses)) == (10, 0, {200: 10})
    # Two at a time: the last two are done after five services, whenever their connections were made.
    assert max(outcome.seconds for outcome in load.outcomes) >= 0.1


async def test_a_request_that_nobody_answers_counts_as_one() -> None:
    load = Load("any", free_ports(1)[0], asyncio.get_running_loop().time())
    await load.play([0.0])
    await load.drain(5.0)
    assert (load.pending, dict(load.statuses)) == (0, {0: 1})


async def test_latency_counts_from_when_a_request_was_due_however_late_it_was_sent() -> None:
    load = Load("any", free_ports(1)[0], asyncio.get_running_loop().time() - 30.0)
    await load.play([0.0, 10.0])
    await load.drain(5.0)
    assert [(outcome.due, outcome.seconds >= 30.0 - outcome.due) for outcome in load.outcomes] == [
        (0.0, True),
        (10.0, True),
    ]
