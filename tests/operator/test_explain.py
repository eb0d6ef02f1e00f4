import pytest

from forefill_operator import explain
from forefill_operator.plan import Plan
from forefill_operator.shaping import Load, shape
from forefill_operator.spec import FillRate

RATE = FillRate(base=50.0, min=20.0, max=400.0, surplus="Hold")


def plan(requested: float, reserved: float = 0.0) -> Plan:
    terms = shape(RATE, requested, 1.0, None, 0.0)
    return Plan(1, 0.0, terms, reserved, min(terms.adjusted, 400.0 - reserved), {})


@pytest.mark.parametrize(
    ("requested", "load", "weight", "sentence"),
    [
        (70.0, None, 0.0, "50 base + 70 predicted x 1 = 120 tokens/s"),
        (70.0, Load(0.5, 0.5, 0.5), -40.0, "50 base + 70 predicted x 1 + 0.50 load x -40 = 100 tokens/s"),
        (0.0, Load(0.5, 0.5, 0.5), -90.0, "50 base + 0 predicted x 1 + 0.50 load x -90 = 5 tokens/s, raised to min 20"),
        (700.0, None, 0.0, "50 base + 400 predicted x 1 = 450 tokens/s, cut to max 400"),
    ],
)
def test_the_target_is_told_term_by_term(requested: float, load: Load | None, weight: float, sentence: str) -> None:
    assert explain.target_sentence(shape(RATE, requested, 1.0, load, weight)) == sentence


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
