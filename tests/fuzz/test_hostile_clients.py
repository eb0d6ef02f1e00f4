"""Nothing that a client sends stops the operator or costs another more than max-min gives (invariant 7)."""

import gc
import tracemalloc

from bench.fuzz import hostile
from hypothesis import Phase, given, settings

from forefill_protocol import messages

FLOOD = 1000
# What so many messages may leave behind: less than two bytes for each expectation in them.
LEFT_BYTES = 60_000


def _report(sequence: int, **fields: object) -> messages.Report:
    forecast = messages.Forecast(0.0, 0.0, 0.0, 0.0)
    whole = {"window_seconds": 10.0, "offered": 0.0, "admitted": 0.0, "refused": 0.0, "backlog": 0.0, **fields}
    entry = messages.PolicyReport(policy=hostile.KEY, requests=1, forecasts=[forecast] * 3, **whole)  # type: ignore[arg-type]
    return messages.Report(sequence, [entry])


@settings(max_examples=50, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(hostile.SCRIPTS)
def test_hostile_messages_cost_the_honest_nothing(script: list[list[hostile.Act]]) -> None:
    hostile.play(script)


def test_a_backlog_beyond_what_can_be_served_does_not_turn_negative_when_it_is_gone() -> None:
    backlog = _report(1, offered=1e10, admitted=1.0, backlog=1e11, window_seconds=4e6)
    hostile.play([[hostile.Act(who, 0.3, backlog) for who in range(hostile.HOSTILE)], [], []])


def test_declarations_of_far_away_work_leave_nothing_behind_however_often_they_come() -> None:
    room, client = hostile.Room(), hostile.HOSTILE - 1
    far = [messages.Expectation(1e9 - number, 1e9, 1e12) for number in range(32)]

    def flood(first: int) -> None:
        for sequence in range(first, first + FLOOD):
            room.play(hostile.Act(client, 0.0, _report(sequence, expectations=far)))

    flood(1)
    tracemalloc.start()
    try:
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        flood(FLOOD + 1)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < LEFT_BYTES


def test_more_declarations_than_an_assignment_has_steps_still_get_one_that_can_be_read() -> None:
    works = [messages.Expectation(0.0, 1.0 + 0.3 * number, 12.0 * (1.0 + 0.3 * number)) for number in range(32)]
    reports = [_report(sequence, expectations=works) for sequence in range(1, 6)]
    hostile.play([[hostile.Act(0, 0.5, report)] for report in reports])
