"""Lies are read from the command line and told in reports."""

import pytest

from forefill_lab.simulator import lies
from forefill_lab.simulator.demand import Unusable
from forefill_lab.simulator.lies import Lie
from forefill_protocol.messages import Ack, Forecast, PolicyReport, Report

ENTRY = PolicyReport("ns/llm", 10.0, 100.0, 80.0, 0.0, 20.0, 5, [Forecast(10.0, 9.0, 14.0, 16.0)])


def test_every_kind_is_read() -> None:
    told = ["a=x1.5", "b=burn", "c=burn:20:5:x3", "d=meter:x2", "e=cost:x0.5"]
    assert lies.parse(told, ["a", "b", "c", "d", "e"]) == {
        0: Lie("forecast", 1.5),
        1: Lie("burn", 1.5, 200, 10),
        2: Lie("burn", 3.0, 20, 5),
        3: Lie("meter", 2.0),
        4: Lie("cost", 0.5),
    }


@pytest.mark.parametrize("text", ["z=x1.5", "a", "a=1.5", "a=x-1", "a=xnan", "a=burn:0:5:x3", "a=meter", "a=x"])
def test_what_is_no_lie_is_refused_with_a_sentence_that_names_it(text: str) -> None:
    with pytest.raises(Unusable, match=f"^--lie {text}: .+"):
        lies.parse([text], ["a"])


def test_a_forecast_lie_leaves_what_was_measured_alone() -> None:
    told = Lie("forecast", 2.0).tell(Report(1, [ENTRY]))
    assert isinstance(told, Report)
    assert told.entries[0].forecasts == [Forecast(20.0, 18.0, 28.0, 32.0)]
    assert (told.entries[0].offered, told.entries[0].backlog) == (100.0, 20.0)


def test_a_replaced_sidecar_bends_its_own_counts_too() -> None:
    told = Lie("meter", 2.0).tell(Report(1, [ENTRY]))
    assert isinstance(told, Report)
    assert (told.entries[0].offered, told.entries[0].admitted, told.entries[0].backlog) == (200.0, 160.0, 40.0)


def test_build_and_burn_lies_after_its_honest_windows() -> None:
    lie = Lie("burn", 3.0, 4, 2)
    assert [lie.factor_in(window) for window in range(7)] == [1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 1.0]


def test_who_lies_in_a_header_tells_the_operator_the_truth() -> None:
    report = Report(1, [ENTRY])
    assert Lie("cost", 0.5).tell(report) is report


def test_other_messages_are_true() -> None:
    ack = Ack("ns/llm", 1, 1)
    assert Lie("forecast", 2.0).tell(ack) is ack
