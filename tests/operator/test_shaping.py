from collections.abc import Callable
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from forefill_operator.policy import TokenPolicy
from forefill_operator.shaping import Inputs, Load, ShapingState, Terms, shape

Make = Callable[..., TokenPolicy]
HALF = Load(cpu=0.9, memory=0.8, network=0.625)
PARTS = st.floats(0.0, 1.0)


def terms(policy: TokenPolicy, inputs: Inputs, state: ShapingState | None = None, now: float = 0.0) -> Terms:
    return shape(policy.spec, inputs, state or ShapingState(), now)[0]


@pytest.mark.parametrize(
    ("requested", "weight", "load", "expected"),
    [
        (100.0, 1.0, None, Terms(50.0, 100.0, 100.0, 1.0, None, 0.0, 150.0, 400.0, 150.0, "None")),
        (100.0, 1.5, None, Terms(50.0, 100.0, 100.0, 1.5, None, 0.0, 200.0, 400.0, 200.0, "None")),
        (900.0, 1.0, None, Terms(50.0, 900.0, 400.0, 1.0, None, 0.0, 450.0, 400.0, 400.0, "Max")),
        (350.0, 1.0, None, Terms(50.0, 350.0, 350.0, 1.0, None, 0.0, 400.0, 400.0, 400.0, "None")),
        # a load halfway between its thresholds counts by half its weight
        (100.0, 1.0, HALF, Terms(50.0, 100.0, 100.0, 1.0, HALF, -50.0, 111.25, 400.0, 111.25, "None")),
        (0.0, 1.0, HALF, Terms(50.0, 0.0, 0.0, 1.0, HALF, -50.0, 11.25, 400.0, 20.0, "Min")),
    ],
)
def test_every_term_is_kept(
    make_policy: Make, requested: float, weight: float, load: Load | None, expected: Terms
) -> None:
    policy = make_policy(spec__weights__load=-100, spec__thresholds__load={"low": 0.6, "high": 0.95})
    made = terms(policy, Inputs(requested, weight, load, admitted=400.0))
    rounded = replace(made, weight_load=round(made.weight_load, 9), target=round(made.target, 9))
    assert replace(rounded, adjusted=round(made.adjusted, 9)) == expected


def test_an_unknown_load_counts_for_nothing(make_policy: Make) -> None:
    load = Load(0.0, 0.0, 0.0, state="Unknown")
    made, state = shape(make_policy(spec__weights__load=-100).spec, Inputs(100.0, 1.0, load), ShapingState(), 0.0)
    assert (made.load, made.adjusted, made.lent, state.ceiling) == (None, 150.0, 0.0, inf)


@pytest.mark.parametrize("load", [Load(1.0, 0.1, 0.1), Load(0.1, 1.0, 0.1), Load(0.1, 0.1, 1.0)])
def test_one_signal_that_the_mean_hides_cuts_the_ceiling(make_policy: Make, load: Load) -> None:
    made, state = shape(make_policy().spec, Inputs(400.0, 1.0, load, admitted=300.0), ShapingState(), 0.0)
    assert state.ceiling == pytest.approx(1.02 * 300.0 * 0.85)
    assert (made.adjusted, made.clamp) == (state.ceiling, "Ceiling")


def test_latency_over_its_threshold_cuts_the_ceiling_and_weighs_the_load_more(make_policy: Make) -> None:
    policy = make_policy(spec__thresholds__latencyP95Milliseconds=500, spec__weights__load=-100)
    inputs = Inputs(400.0, 1.0, Load(0.7, 0.7, 0.7), latency_p95=0.75, admitted=300.0)
    made, state = shape(policy.spec, inputs, ShapingState(), 0.0)
    assert state.ceiling == pytest.approx(1.02 * 300.0 * (1 - 0.15 * 0.5))
    assert made.weight_load == pytest.approx(-100 * 0.4 * 1.1)
    _, later = shape(policy.spec, inputs, state, 10.0)
    assert later.growth == pytest.approx(1.21)
    _, calm = shape(policy.spec, replace(inputs, latency_p95=0.1), later, 20.0)
    assert calm.growth == pytest.approx(1.1)


@pytest.mark.parametrize(
    ("worst", "ceiling"),
    [(0.84, 200.0), (0.8075, 200.0), (0.8, 202.0), (0.1, 202.0)],
)
def test_a_ceiling_stands_just_below_the_threshold_and_rises_slowly_further_below(
    make_policy: Make, worst: float, ceiling: float
) -> None:
    inputs = Inputs(400.0, 1.0, Load(worst, 0.0, 0.0), admitted=200.0)
    assert shape(make_policy().spec, inputs, ShapingState(ceiling=200.0), 0.0)[1].ceiling == pytest.approx(ceiling)


def test_a_ceiling_that_has_risen_to_max_is_gone(make_policy: Make) -> None:
    assert shape(make_policy().spec, Inputs(0.0, 1.0), ShapingState(ceiling=399.0), 0.0)[1].ceiling == inf


def test_a_ceiling_never_falls_below_min_and_moves_once_an_interval(make_policy: Make) -> None:
    spec, inputs, state = make_policy().spec, Inputs(400.0, 1.0, Load(1.0, 1.0, 1.0), admitted=100.0), ShapingState()
    seen = []
    for now in range(0, 200, 5):
        made, state = shape(spec, inputs, state, float(now))
        seen.append(made.adjusted)
    assert seen[0] == seen[1] == pytest.approx(86.7)
    assert seen[2] == pytest.approx(86.7 * 0.85)
    assert seen[-1] == 20.0


def test_a_surplus_is_lent_bit_by_bit_and_taken_back_at_once(make_policy: Make) -> None:
    spec, state = make_policy().spec, ShapingState()
    lent = []
    for now in (0.0, 5.0, 10.0, 20.0):
        made, state = shape(spec, Inputs(50.0, 1.0, Load(0.2, 0.2, 0.2)), state, now)
        lent.append(made.lent)
    assert lent == pytest.approx([38.0, 38.0, 76.0, 114.0])
    assert shape(spec, Inputs(50.0, 1.0, Load(0.55, 0.55, 0.55)), state, 21.0)[0].lent == pytest.approx(114.0)
    assert shape(spec, Inputs(50.0, 1.0, Load(0.59, 0.59, 0.59)), state, 21.0)[0].lent == pytest.approx(30.0)
    assert shape(spec, Inputs(50.0, 1.0, Load(0.6, 0.6, 0.6)), state, 21.0)[0].lent == 0.0
    assert shape(spec, Inputs(50.0, 1.0, None), state, 21.0)[0].lent == 0.0


def test_who_holds_to_the_target_lends_nothing(make_policy: Make) -> None:
    spec = make_policy(spec__fillRate__surplus="Hold").spec
    assert shape(spec, Inputs(50.0, 1.0, Load(0.0, 0.0, 0.0)), ShapingState(), 0.0)[0].lent == 0.0


def test_nothing_is_lent_over_the_ceiling(make_policy: Make) -> None:
    state = ShapingState(ceiling=120.0, lent=300.0, stepped_at=0.0)
    made, _ = shape(make_policy().spec, Inputs(50.0, 1.0, Load(0.1, 0.1, 0.1)), state, 1.0)
    assert (made.adjusted, made.lent) == pytest.approx((100.0, 20.0))


@given(
    st.floats(0.0, 1e15), st.floats(0.0, 10.0), PARTS, PARTS, PARTS, st.floats(0.0, 100.0), st.floats(0.0, 1e9),
    st.floats(0.0, 1e9), st.floats(0.0, 1e9),
)  # fmt: skip
def test_what_is_handed_out_stays_between_min_and_max(
    make_policy: Make, requested: float, weight: float, cpu: float, memory: float, network: float, latency: float,
    admitted: float, ceiling: float, lent: float,
) -> None:  # fmt: skip
    spec = make_policy(spec__weights__load=-1e6, spec__thresholds__latencyP95Milliseconds=100).spec
    inputs = Inputs(requested, weight, Load(cpu, memory, network), latency, admitted)
    made, state = shape(spec, inputs, ShapingState(ceiling=ceiling, lent=lent), 0.0)
    assert 20.0 <= made.adjusted <= made.ceiling <= 400.0
    assert made.adjusted <= made.handed_out <= made.ceiling * (1 + 1e-12)
    assert state.ceiling >= 20.0


@pytest.mark.parametrize("delay", [0, 1, 2, 3])
def test_a_load_that_follows_what_is_admitted_settles_under_its_threshold(make_policy: Make, delay: int) -> None:
    """380 tokens/s asked of a resource that is good for 300, whose load is seen `delay` intervals late."""
    spec = make_policy(spec__weights__load=-100).spec
    state, loads, rates = ShapingState(), [0.0] * (delay + 1), []
    for interval in range(300):
        seen = loads[-1 - delay]
        inputs = Inputs(380.0, 1.0, Load(seen, 0.3, 0.3), admitted=rates[-1] if rates else 300.0)
        made, state = shape(spec, inputs, state, 10.0 * interval)
        rates.append(made.adjusted)
        loads.append(min(made.adjusted / 300.0, 1.0))
    settled = loads[-100:]
    assert max(settled) < 0.85
    assert (max(settled) - min(settled)) / max(settled) < 0.05
    assert min(settled) > 0.75
