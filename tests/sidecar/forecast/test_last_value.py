from forefill_sidecar.forecast.last_value import LastValue


def test_repeats_the_last_value() -> None:
    model = LastValue()
    model.observe(3.0)
    model.observe(5.0)
    assert model.forecast(3) == [5.0, 5.0, 5.0]
