from forefill_sidecar.forecast.simple_smoothing import SimpleSmoothing


def test_begins_as_the_plain_mean_and_then_moves_by_alpha() -> None:
    model = SimpleSmoothing(alpha=0.25)
    levels = []
    for value in (4.0, 8.0, 0.0, 4.0, 8.0):
        model.observe(value)
        levels.append(model.forecast(1)[0])
    assert levels == [4.0, 6.0, 4.0, 4.0, 5.0]


def test_a_mean_of_zero_is_a_mean() -> None:
    model = SimpleSmoothing()
    for value in (0.0, 0.0, 90.0):
        model.observe(value)
    assert model.forecast(2) == [30.0, 30.0]
