from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_operator.load.readings import PARTS, Fault, Part, Reading
from forefill_operator.load.tracker import Tracker
from forefill_operator.shaping import Load

GONE = Reading(None, Fault("NoSeries", "gives no series"))


def all_three(cpu: float, memory: float, network: float) -> Mapping[Part, Reading]:
    return {"cpu": Reading(cpu), "memory": Reading(memory), "network": Reading(network)}


def test_before_any_measurement_the_load_is_unknown() -> None:
    tracker = Tracker(30.0, 0.5)
    assert tracker.load(0.0) == Load(0.0, 0.0, 0.0, "Unknown", 0.0)
    tracker.observe({"cpu": GONE}, 0.0)
    assert tracker.load(0.0) == Load(0.0, 0.0, 0.0, "Unknown", 0.0)
    assert tracker.faults == {"cpu": GONE.fault}


@pytest.mark.parametrize(
    ("after", "load"),
    [
        (0.0, Load(0.5, 0.75, 0.25, "Known", 0.0)),
        (30.0, Load(0.5, 0.75, 0.25, "Known", 30.0)),
        (30.5, Load(0.5, 0.75, 0.25, "Held", 30.5)),
        (60.0, Load(0.5, 0.75, 0.25, "Held", 60.0)),
        (75.0, Load(0.5, 0.6875, 0.3125, "Decaying", 75.0)),
        (90.0, Load(0.5, 0.625, 0.375, "Decaying", 90.0)),
        (120.0, Load(0.0, 0.0, 0.0, "Unknown", 0.0)),
        (1e9, Load(0.0, 0.0, 0.0, "Unknown", 0.0)),
    ],
)
def test_what_is_no_longer_measured_is_held_then_fades_then_is_unknown(after: float, load: Load) -> None:
    tracker = Tracker(30.0, 0.5)
    tracker.observe(all_three(0.5, 0.75, 0.25), 1000.0)
    assert tracker.load(1000.0 + after) == load


def test_faults_do_not_refresh_a_value() -> None:
    tracker = Tracker(30.0, 0.5)
    tracker.observe(all_three(0.5, 0.75, 0.25), 0.0)
    for second in range(10, 50, 10):
        tracker.observe(dict.fromkeys(PARTS, GONE), float(second))
    assert tracker.load(40.0) == Load(0.5, 0.75, 0.25, "Held", 40.0)


@pytest.mark.parametrize(
    ("values", "filtered"),
    [
        ([0.4], [0.4]),
        ([0.4, 0.9, 0.4, 0.4], [0.4, 0.9, 0.4, 0.4]),
        ([0.4, 0.4, 1.0, 0.4, 0.4], [0.4, 0.4, 0.4, 0.4, 0.4]),
        ([0.4, 0.4, 0.9, 0.9, 0.9], [0.4, 0.4, 0.4, 0.9, 0.9]),
        ([0.4, 0.4, 0.0, 0.0], [0.4, 0.4, 0.4, 0.0]),
    ],
)
def test_a_spike_is_left_out_and_a_step_is_followed_one_measurement_later(
    values: list[float], filtered: list[float]
) -> None:
    tracker = Tracker(30.0, 0.5)
    seen = []
    for second, value in enumerate(values):
        tracker.observe({"cpu": Reading(value)}, 10.0 * second)
        seen.append(tracker.load(10.0 * second).cpu)
    assert seen == filtered


def test_after_a_gap_old_values_no_longer_filter_new_ones() -> None:
    tracker = Tracker(30.0, 0.5)
    for second in (0.0, 10.0, 20.0):
        tracker.observe({"cpu": Reading(0.2)}, second)
    tracker.observe({"cpu": Reading(0.9)}, 100.0)
    assert tracker.load(100.0) == Load(0.9, 0.9, 0.9, "Known", 0.0)


def test_a_policy_that_measures_some_parts_has_their_mean() -> None:
    tracker = Tracker(30.0, 0.5)
    tracker.observe({"cpu": Reading(0.75), "memory": Reading(0.25)}, 0.0)
    assert tracker.load(0.0) == Load(0.75, 0.25, 0.5, "Known", 0.0)


def test_a_part_that_goes_missing_gives_way_to_the_others_and_the_load_is_not_known() -> None:
    tracker = Tracker(30.0, 0.5)
    tracker.observe(all_three(0.25, 0.25, 1.0), 0.0)
    for second in range(10, 310, 10):
        tracker.observe({"cpu": Reading(0.25), "memory": Reading(0.25), "network": GONE}, float(second))
        if second == 60:
            assert tracker.load(60.0) == Load(0.25, 0.25, 1.0, "Held", 60.0)
        if second == 90:
            fading = tracker.load(90.0)
            assert (fading.cpu, fading.memory, fading.state, fading.age_seconds) == (0.25, 0.25, "Held", 90.0)
            assert fading.network == pytest.approx(0.7)
    assert tracker.load(300.0) == Load(0.25, 0.25, 0.25, "Held", 0.0)
    assert tracker.faults == {"network": GONE.fault}


def test_a_part_that_the_policy_no_longer_asks_for_is_forgotten() -> None:
    tracker = Tracker(30.0, 0.5)
    tracker.observe(all_three(0.25, 0.25, 1.0), 0.0)
    tracker.observe({"cpu": Reading(0.25)}, 10.0)
    assert tracker.load(10.0) == Load(0.25, 0.25, 0.25, "Known", 0.0)


def test_a_bounded_value_counts_and_its_fault_is_kept() -> None:
    tracker = Tracker(30.0, 0.5)
    fault = Fault("AboveOne", "is 57 and counts as 1")
    tracker.observe({"cpu": Reading(1.0, fault)}, 0.0)
    assert tracker.load(0.0) == Load(1.0, 1.0, 1.0, "Known", 0.0)
    assert tracker.faults == {"cpu": fault}


readings = st.floats(0.0, 1.0).map(Reading) | st.just(GONE)
steps = st.lists(st.tuples(st.floats(0.0, 200.0), st.dictionaries(st.sampled_from(PARTS), readings)), max_size=12)


@given(steps, st.floats(1.0, 100.0), st.floats(0.0, 1.0))
def test_whatever_comes_the_load_is_from_0_to_1_and_its_state_is_known_only_while_all_of_it_is(
    steps: list[tuple[float, dict[Part, Reading]]], stale_after: float, neutral: float
) -> None:
    tracker, now = Tracker(stale_after, neutral), 0.0
    for pause, batch in steps:
        now += pause
        tracker.observe(batch, now)
        load = tracker.load(now)
        assert all(0.0 <= part <= 1.0 + 1e-12 for part in (load.cpu, load.memory, load.network))
        if load.state == "Known":
            assert load.age_seconds <= stale_after


@given(steps, st.floats(1.0, 100.0), st.floats(0.0, 1.0))
def test_without_new_values_the_load_only_fades_and_never_comes_back(
    steps: list[tuple[float, dict[Part, Reading]]], stale_after: float, neutral: float
) -> None:
    tracker, now = Tracker(stale_after, neutral), 0.0
    for pause, batch in steps:
        now += pause
        tracker.observe(batch, now)
    order = ["Known", "Held", "Decaying", "Unknown"]
    seen = [tracker.load(now + stale_after * quarter / 4.0) for quarter in range(20)]
    assert all(order.index(earlier.state) <= order.index(later.state) for earlier, later in pairwise(seen))
    assert seen[-1] == Load(0.0, 0.0, 0.0, "Unknown", 0.0)
