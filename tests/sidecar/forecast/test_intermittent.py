from forefill_sidecar.forecast.intermittent import Intermittent


def test_forecasts_chance_times_size() -> None:
    model = Intermittent()
    for value in (0.0, 20.0, 0.0, 40.0):
        model.observe(value)
    assert model.forecast(2) == [0.5 * 30.0] * 2


def test_silence_lowers_the_chance_and_leaves_the_size() -> None:
    model = Intermittent()
    for value in [10.0] * 20 + [0.0] * 5:
        model.observe(value)
    assert model.size == 10.0
    assert model.forecast(1)[0] == 10.0 * 0.9**5
