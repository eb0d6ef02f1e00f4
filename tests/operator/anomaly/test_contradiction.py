import pytest

from forefill_operator.anomaly.contradiction import contradicts, sentence


@pytest.mark.parametrize(
    ("admitted", "measured", "expected"),
    [
        (100.0, 100.0, False),
        (100.0, 125.0, False),
        (100.0, 75.0, False),
        (0.0, 4.0, False),
        (100.0, 140.0, True),
        (100.0, 60.0, True),
        (0.0, 50.0, True),
        (50.0, 0.0, True),
    ],
)
def test_reports_and_measurements_may_differ_by_so_much(admitted: float, measured: float, expected: bool) -> None:
    assert contradicts(admitted, measured, max_rate=400.0) is expected


def test_the_sentence_has_both_figures() -> None:
    assert sentence(40.0, 90.0, 3) == (
        "it reports 40 tokens/s admitted where the upstream counted 90, 3 measurements in a row"
    )
