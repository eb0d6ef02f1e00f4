"""One shared list of checks that every forecaster passes."""

import itertools
import math
import random

import pytest

from forefill_sidecar import forecast
from forefill_sidecar.forecast import Forecaster, snapshot

HORIZON = 6
DAY_OF_TEN_SECONDS = 8640


@pytest.fixture(params=sorted(forecast.MODELS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(name: str) -> Forecaster:
    return forecast.make(name)


def gamma_values(count: int, seed: int = 1) -> list[float]:
    generator = random.Random(seed)
    return [generator.gammavariate(2.0, 15.0) for _ in range(count)]


def feed(model: Forecaster, values: list[float]) -> None:
    for value in values:
        model.observe(value)


def check_sound(model: Forecaster) -> None:
    means = model.forecast(HORIZON)
    assert len(means) == HORIZON
    assert all(math.isfinite(mean) and mean >= 0.0 for mean in means), means


def test_forecasts_before_the_first_value(model: Forecaster) -> None:
    assert model.forecast(HORIZON) == [0.0] * HORIZON


def test_forecasts_the_first_value_after_one_sample(model: Forecaster) -> None:
    model.observe(7.0)
    assert model.forecast(HORIZON) == pytest.approx([7.0] * HORIZON)


def test_is_finite_and_not_negative_on_every_step(model: Forecaster) -> None:
    for value in gamma_values(500):
        model.observe(value)
        check_sound(model)


def test_a_longer_horizon_begins_with_the_shorter(model: Forecaster) -> None:
    feed(model, gamma_values(100))
    assert model.forecast(HORIZON)[:2] == model.forecast(2)


def test_forecasting_does_not_change_the_state(model: Forecaster) -> None:
    feed(model, gamma_values(100))
    before = snapshot.take(model)
    assert model.forecast(HORIZON) == model.forecast(HORIZON)
    assert snapshot.take(model) == before


@pytest.mark.parametrize("constant", [0.0, 1e-6, 3.0, 1e12])
def test_constant_in_is_constant_out(model: Forecaster, constant: float) -> None:
    feed(model, [constant] * 300)
    assert model.forecast(HORIZON) == pytest.approx([constant] * HORIZON)


def test_comes_back_from_zeros_to_the_new_level(model: Forecaster) -> None:
    feed(model, gamma_values(100) + [0.0] * 2000)
    assert model.forecast(HORIZON) == pytest.approx([0.0] * HORIZON, abs=0.5)
    feed(model, [40.0] * 300)
    assert model.forecast(1) == pytest.approx([40.0], rel=0.1)


def test_survives_huge_values_among_small_ones(model: Forecaster) -> None:
    for value in itertools.chain(*zip([1e12, 0.0, 1e-9] * 50, gamma_values(150), strict=True)):
        model.observe(value)
        check_sound(model)
    feed(model, [5.0] * 3000)
    assert model.forecast(1) == pytest.approx([5.0], rel=0.1)


def test_alternating_extremes_do_not_run_away(model: Forecaster) -> None:
    for value in [0.0, 100.0] * 1000:
        model.observe(value)
        assert max(model.forecast(HORIZON)) <= 200.0


def test_a_gap_is_not_taken_for_zeros(model: Forecaster) -> None:
    feed(model, [50.0] * 400)
    model.skip(DAY_OF_TEN_SECONDS)
    assert model.forecast(HORIZON) == pytest.approx([50.0] * HORIZON, rel=0.05)


def test_goes_on_soundly_after_gaps_of_any_length(model: Forecaster) -> None:
    for gap, value in zip(itertools.cycle([0, 1, 2, 50, 100_000]), gamma_values(200), strict=False):
        model.skip(gap)
        model.observe(value)
        check_sound(model)


def test_scales_with_the_unit(name: str, model: Forecaster) -> None:
    """A client counted in thousands of tokens is forecast as one counted in tokens."""
    values = gamma_values(400)
    feed(model, values)
    twin = forecast.make(name)
    feed(twin, [value * 1024.0 for value in values])
    assert twin.forecast(3) == pytest.approx([mean * 1024.0 for mean in model.forecast(3)], rel=1e-6)


def test_fed_alike_answers_alike(name: str, model: Forecaster) -> None:
    twin = forecast.make(name)
    for value in gamma_values(200):
        model.observe(value)
        twin.observe(value)
    assert twin.forecast(HORIZON) == model.forecast(HORIZON)


def test_a_snapshot_restores_the_model_whole(name: str, model: Forecaster) -> None:
    feed(model, gamma_values(300))
    twin = forecast.make(name)
    snapshot.put(twin, snapshot.take(model))
    later = gamma_values(50, seed=2)
    feed(model, later)
    feed(twin, later)
    assert twin.forecast(HORIZON) == model.forecast(HORIZON)


def test_an_unknown_name_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(ValueError, match=r"'Prophet' is not known; choose one of .*LastValue"):
        forecast.make("Prophet")
