"""What the faults' table says is computed here; the faults themselves are played by `make chaos`."""

from pathlib import Path

import pytest

from forefill_lab.chaos.scene import MAX, Scene
from forefill_lab.chaos.table import Outcome, markdown, written_into
from forefill_lab.chaos.watch import Sight, Watch, most_at_once


def told(*rates: float, at: float = 0.0) -> list[Sight]:
    """A sidecar that says these, one a second; asking takes no time."""
    return [Sight(at + number, at + number, rate) for number, rate in enumerate(rates)]


@pytest.mark.parametrize(
    ("sights", "most"),
    [
        ([], 0.0),
        ([told(60.0, 60.0), told(50.0, 50.0)], 110.0),
        ([told(60.0, 20.0), told(50.0, 50.0)], 50.0),
        ([told(60.0, 60.0, 20.0, 20.0), told(20.0, 20.0, 60.0, 60.0)], 80.0),
        ([told(60.0, 60.0, 60.0, 20.0), told(20.0, 60.0, 60.0, 60.0)], 120.0),
        ([told(60.0, 60.0), told(60.0, 60.0, at=5.0)], 60.0),
    ],
    ids=["nobody", "two at once", "one changes", "they swap", "one raises first", "never at once"],
)
def test_what_was_allowed_at_once_counts_only_where_it_is_certain(sights: list[list[Sight]], most: float) -> None:
    assert most_at_once(sights) == most


def test_a_rate_is_not_known_while_it_is_asked_for() -> None:
    assert most_at_once([[Sight(0.0, 3.0, 60.0), Sight(2.0, 4.0, 60.0)]]) == 0.0


def watch_of(folder: Path, *totals: float) -> Watch:
    return Watch(Scene(folder), {"a": told(*totals)})


def test_recovery_counts_from_the_fault_to_the_last_look_that_was_not_whole(tmp_path: Path) -> None:
    assert watch_of(tmp_path, MAX, 0.0, MAX, 0.0, MAX).recovered_after(1.0) == 2.0
    assert watch_of(tmp_path, MAX, 0.0, MAX).recovered_after(2.0) == 0.0
    assert watch_of(tmp_path, MAX, MAX, 0.0).recovered_after(1.0) is None
    assert watch_of(tmp_path).recovered_after(0.0) is None


def test_a_fault_passes_when_nothing_was_given_twice_failed_or_stayed_broken() -> None:
    good = Outcome("kill", "nothing", requests=10, recovered=1.0)
    assert good.passed
    assert Outcome("kill", "nothing", skipped="it needs root").passed
    assert not Outcome("kill", "nothing", over_grant=0.1, recovered=1.0).passed
    assert not Outcome("kill", "nothing", failed=1, recovered=1.0).passed
    assert not Outcome("kill", "nothing").passed


def test_the_table_goes_between_its_marks() -> None:
    outcomes = [
        Outcome("kill", "nothing", requests=1234, recovered=1.25),
        Outcome("pod", "its requests fail", spared=3, requests=9, recovered=0.0),
        Outcome("net", "nothing", skipped="it needs root"),
        Outcome("bad", "all", over_grant=2.5, failed=1, requests=5),
    ]
    document = "before\n<!-- faults -->\nold\n<!-- end of faults -->\nafter\n"
    assert written_into(document, markdown(outcomes)).splitlines() == [
        "before",
        "<!-- faults -->",
        "| fault | over-grant, tokens/s | requests failed by us | whole again after | what users see |",
        "| --- | ---: | ---: | ---: | --- |",
        "| kill | 0 | 0 of 1,234 | 1.2 s | nothing |",
        "| pod | 0 | 0 of 9, and 3 of the pod that it hit | 0.0 s | its requests fail |",
        "| net | | | | not played: it needs root |",
        "| bad | 2.5 | 1 of 5 | not in time | all |",
        "<!-- end of faults -->",
        "after",
    ]


def test_a_document_without_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="has no <!-- faults -->"):
        written_into("text", "table")
