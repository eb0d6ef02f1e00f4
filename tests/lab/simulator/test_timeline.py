"""Events happen in the order of their time, and of their setting where that is the same."""

from forefill_lab.simulator.timeline import Timeline


def test_events_happen_in_order_up_to_the_moment_asked_for() -> None:
    line, seen = Timeline(1.0), []
    for name, time in (("late", 2.0), ("first", 1.0), ("second", 1.0), ("at the end", 3.0)):
        line.at(time, lambda name=name: seen.append((name, line.now)))  # type: ignore[misc]
    line.run_until(3.0)
    assert seen == [("first", 1.0), ("second", 1.0), ("late", 2.0)]
    assert line.now == 3.0


def test_an_event_may_set_another_that_still_happens() -> None:
    line, seen = Timeline(1.0), []
    line.at(1.0, lambda: line.later(0.5, lambda: seen.append(line.now)))
    line.run_until(2.0)
    assert seen == [1.5]


def test_the_past_is_now() -> None:
    line, seen = Timeline(1.0), []
    line.run_until(5.0)
    line.at(1.0, lambda: seen.append(line.now))
    line.run_until(6.0)
    assert seen == [5.0]
