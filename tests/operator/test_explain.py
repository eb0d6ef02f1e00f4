from collections.abc import Callable

import numpy as np
import pytest
from msgspec.structs import replace

from forefill_operator import explain
from forefill_operator.plan import Plan
from forefill_operator.policy import TokenPolicy
from forefill_operator.shaping import Load, ShapingState, Terms, terms_of

Make = Callable[..., TokenPolicy]
TERMS = Terms(50.0, 0.0, 0.0, 1.0, None, 0.0, 0.0, 400.0, 0.0, "None")


def plan(requested: float, reserved: float = 0.0) -> Plan:
    adjusted = min(50.0 + requested, 400.0)
    terms = replace(TERMS, requested=requested, predicted_total=requested, adjusted=adjusted)
    return Plan(1, 0.0, terms, reserved, min(adjusted, 400.0 - reserved), 0.0, [], np.zeros(0), {})


@pytest.mark.parametrize(
    ("requested", "load", "weight", "sentence"),
    [
        (70.0, None, 0.0, "50 base + 70 predicted x 1 = 120 tokens/s"),
        (70.0, Load(0.5, 0.5, 0.5), -40.0, "50 base + 70 predicted x 1 + 0.50 load x -40 = 100 tokens/s"),
        (0.0, Load(0.5, 0.5, 0.5), -90.0, "50 base + 0 predicted x 1 + 0.50 load x -90 = 5 tokens/s, raised to min 20"),
        (700.0, None, 0.0, "50 base + 400 predicted x 1 = 450 tokens/s, cut to max 400"),
    ],
)
def test_the_target_is_told_term_by_term(
    make_policy: Make, requested: float, load: Load | None, weight: float, sentence: str
) -> None:
    policy = make_policy(spec__weights__load=weight, spec__thresholds__load={"low": 0.1, "high": 0.5})
    terms = terms_of(policy.spec, requested, 1.0, load, ShapingState())
    assert explain.target_sentence(terms) == sentence


def test_a_ceiling_and_what_is_lent_are_told(make_policy: Make) -> None:
    terms = terms_of(make_policy().spec, 300.0, 1.0, None, ShapingState(ceiling=200.0))
    assert explain.target_sentence(terms) == (
        "50 base + 300 predicted x 1 = 350 tokens/s, cut to 200 because the resource has too much to do"
    )
    assert explain.target_sentence(replace(terms, clamp="None", lent=20.0)) == (
        "50 base + 300 predicted x 1 = 350 tokens/s, and 20 lent while the resource idles"
    )


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        (
            explain.rate_sentence(25.0, 25.0, None, plan(0.0)),
            "25 tokens/s: an equal share until the first report; clients share 50",
        ),
        (
            explain.rate_sentence(40.0, 40.0, 30.0, plan(30.0)),
            "40 tokens/s: asked for 30 and got 10 of the surplus; clients share 80",
        ),
        (
            explain.rate_sentence(100.0, 200.0, 300.0, plan(600.0)),
            "100 tokens/s: asked for 300, cut to a fair share of 200; clients share 400; "
            "200 once others have acknowledged less",
        ),
        (
            explain.rate_sentence(200.0, 200.0, 300.0, plan(600.0, reserved=200.0)),
            "200 tokens/s: asked for 300, cut to a fair share of 200; clients share 200 of 400 "
            "(200 may be held by silent clients)",
        ),
    ],
)
def test_a_rate_is_told_with_its_reasons(sentence: str, told: str) -> None:
    assert sentence == told
