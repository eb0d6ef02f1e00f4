import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_operator.shaping import Load, Terms, shape
from forefill_operator.spec import FillRate

RATE = FillRate(base=50.0, min=20.0, max=400.0, surplus="Hold")
HALF = Load(cpu=0.9, memory=0.4, network=0.2)


@pytest.mark.parametrize(
    ("requested", "weight", "load", "expected"),
    [
        (100.0, 1.0, None, Terms(50.0, 100.0, 100.0, 1.0, None, -100.0, 150.0, 150.0, "None")),
        (100.0, 1.5, None, Terms(50.0, 100.0, 100.0, 1.5, None, -100.0, 200.0, 200.0, "None")),
        (100.0, 1.0, HALF, Terms(50.0, 100.0, 100.0, 1.0, HALF, -100.0, 100.0, 100.0, "None")),
        (900.0, 1.0, None, Terms(50.0, 900.0, 400.0, 1.0, None, -100.0, 450.0, 400.0, "Max")),
        (0.0, 1.0, HALF, Terms(50.0, 0.0, 0.0, 1.0, HALF, -100.0, 0.0, 20.0, "Min")),
        (350.0, 1.0, None, Terms(50.0, 350.0, 350.0, 1.0, None, -100.0, 400.0, 400.0, "None")),
    ],
)
def test_every_term_is_kept(requested: float, weight: float, load: Load | None, expected: Terms) -> None:
    assert shape(RATE, requested, weight, load, -100.0) == expected


@given(st.floats(0.0, 1e15), st.floats(0.0, 10.0), st.floats(0.0, 1.0), st.floats(-1e9, 1e9))
def test_the_adjusted_rate_stays_between_min_and_max(requested: float, weight: float, load: float, by: float) -> None:
    assert 20.0 <= shape(RATE, requested, weight, Load(load, load, load), by).adjusted <= 400.0
