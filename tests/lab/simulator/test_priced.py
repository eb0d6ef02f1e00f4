"""Requests whose header misstates what they cost, in front of the sidecar's own prices and bucket."""

import pytest

from forefill_lab.simulator import priced
from forefill_lab.simulator.priced import RESPONSE_SECONDS, PricedFlow
from forefill_lab.simulator.timeline import Timeline
from forefill_protocol.policysettings import CostSettings

SETTINGS = CostSettings(default=1.0, header="x-tokens", response_pointer="/usage/total_tokens")


def flow(timeline: Timeline, factor: float) -> PricedFlow:
    """A bucket of ten tokens that gains one a second."""
    rule = priced.rule_of(SETTINGS)
    assert rule is not None
    made = PricedFlow(timeline, 1.0, 0.0, 1.0, rule=rule, factor=factor)
    made.bucket.retune(0.0, 1.0, 10.0)
    made.bucket.add(0.0, 10.0)
    return made


@pytest.mark.parametrize(("factor", "at_once"), [(1.0, 10.0), (0.5, 12.0), (2.0, 5.0)])
def test_a_false_header_counts_until_responses_tell(factor: float, at_once: float) -> None:
    timeline = Timeline(1.0)
    liar = flow(timeline, factor)
    liar.arrive(0.0, 12.0)
    assert (liar.on_time, liar.waiting) == (at_once, factor * (12.0 - at_once))
    for moment in range(1, 10):
        timeline.run_until(RESPONSE_SECONDS * moment + 0.1)
        liar.serve(timeline.now)
    assert liar.on_time + liar.late == 12.0
    assert liar.meter.totals.settled_up - liar.meter.totals.settled_down == pytest.approx(12.0 * (1.0 - factor))
    liar.begin_tick()
    timeline.run_until(100.0)
    liar.arrive(100.0, 12.0)
    assert liar.on_time == pytest.approx(10.0), "the header counts for what it is worth"


@pytest.mark.parametrize("settings", [CostSettings(default=1.0), CostSettings(default=1.0, header="x-tokens")])
def test_a_header_that_no_response_contradicts_is_the_cost(settings: CostSettings) -> None:
    assert priced.rule_of(settings) is None
