from forefill_protocol.messages import Spread
from forefill_sidecar.meter import Meter, Window

EMPTY = Window(0.0, 0.0, 0.0, 0.0, 0.0, 0, 0, None, None, None)


def test_a_window_carries_what_happened_in_it_and_nothing_before() -> None:
    meter = Meter(started_at=100.0)
    meter.arrived(5.0)
    meter.admitted(5.0)
    meter.close(105.0)
    meter.arrived(2.0)
    meter.arrived(3.0)
    meter.admitted(2.0)
    meter.refused(3.0)
    meter.failed()
    meter.backlog = 7.0

    window = meter.close(115.0)

    assert (window.window_seconds, window.offered, window.admitted, window.refused) == (10.0, 5.0, 2.0, 3.0)
    assert (window.backlog, window.requests, window.errors) == (7.0, 2, 1)


def test_a_marked_retry_is_work_but_no_new_demand() -> None:
    meter = Meter(started_at=0.0)
    meter.arrived(4.0)
    meter.arrived(4.0, is_marked_retry=True)
    meter.admitted(4.0)

    window = meter.close(1.0)

    assert (window.offered, window.admitted, window.requests) == (4.0, 4.0, 2)


def test_spreads_describe_one_window() -> None:
    meter = Meter(started_at=0.0)
    meter.arrived(0.0)
    meter.sized(0)
    meter.answered(0.0)

    window, following = meter.close(1.0), meter.close(2.0)

    zero = Spread(mean=0.0, p50=0.0, p95=0.0)
    assert (window.cost, window.request_bytes, window.upstream_seconds) == (zero, zero, zero)
    assert (following.cost, following.request_bytes, following.upstream_seconds) == (None, None, None)


def test_a_settled_cost_corrects_demand_and_admissions() -> None:
    meter = Meter(started_at=0.0)
    meter.arrived(10.0)
    meter.admitted(10.0)
    meter.settled(-4.0)

    window = meter.close(1.0)

    assert (window.offered, window.admitted) == (6.0, 6.0)


def test_what_was_given_back_was_demand_all_the_same() -> None:
    meter = Meter(started_at=0.0)
    meter.arrived(10.0)
    meter.admitted(10.0)
    meter.returned(10.0)

    window = meter.close(1.0)

    assert (window.offered, window.admitted) == (10.0, 0.0)


def test_corrections_of_an_earlier_window_never_make_a_negative_one() -> None:
    meter = Meter(started_at=0.0)
    meter.arrived(10.0)
    meter.admitted(10.0)
    meter.close(1.0)
    meter.settled(-8.0)

    assert meter.close(1.0) == EMPTY
    assert (meter.totals.offered, meter.totals.admitted) == (10.0, 10.0)


def test_a_clock_going_back_makes_an_empty_window() -> None:
    assert Meter(started_at=5.0).close(4.0) == EMPTY
