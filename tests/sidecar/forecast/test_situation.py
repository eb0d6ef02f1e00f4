import pytest

from forefill_sidecar.forecast import situation
from forefill_sidecar.forecast.situation import Situation


def noisy(level: float, count: int) -> list[float]:
    return [level + (1.0 if step % 2 else -1.0) for step in range(count)]


@pytest.mark.parametrize(
    ("values", "present"),
    [
        ([], situation.USUAL),
        ([7.0], situation.USUAL),
        ([0.0] * 50, situation.USUAL),
        (noisy(50.0, 300), situation.USUAL),
        ([*noisy(50.0, 300), 200.0], situation.ROSE),
        ([*noisy(50.0, 300), 5.0], situation.FELL),
        ([*noisy(50.0, 300), *noisy(200.0, 40)], situation.HIGH),
        ([*noisy(50.0, 300), *noisy(5.0, 40)], situation.LOW),
        ([0.0] * 50 + [3.0], situation.ROSE),
    ],
)
def test_tells_a_shock_from_a_level_that_is_away(values: list[float], present: int) -> None:
    state = Situation()
    for value in values:
        state.observe(value)
    assert state.present == present
