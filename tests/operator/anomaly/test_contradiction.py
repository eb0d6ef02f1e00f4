import pytest

from forefill_operator.anomaly.contradiction import STRIKES, Account


def account(*rates: float) -> Account:
    """After reports of windows that admitted so many tokens/s, each rate for 100 windows."""
    result = Account()
    for rate in rates:
        for _ in range(100):
            result.observe(rate)
    return result


def said(of: Account, measured: float, times: int = STRIKES, every: float = 10.0) -> str:
    """The last sentence."""
    sentence = ""
    for number in range(times):
        sentence = of.compare(measured, max_rate=400.0, interval=10.0, now=every * number)
    return sentence


@pytest.mark.parametrize(
    ("admitted", "measured", "contradicts"),
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
def test_reports_and_measurements_may_differ_by_so_much(admitted: float, measured: float, contradicts: bool) -> None:
    assert bool(said(account(admitted), measured)) is contradicts


def test_the_sentence_has_both_figures() -> None:
    assert said(account(40.0), 90.0) == (
        "it reports 38.1 to 40 tokens/s admitted lately where the upstream counted 90, 3 intervals in a row"
    )


def test_measurements_within_one_interval_are_one() -> None:
    assert said(account(40.0), 90.0, times=10, every=1.0) == ""


def test_one_that_agrees_wipes_out_those_before() -> None:
    of = account(40.0)
    assert said(of, 90.0, times=2) == ""
    assert of.compare(40.0, 400.0, 10.0, 20.0) == ""
    assert of.compare(90.0, 400.0, 10.0, 30.0) == ""


@pytest.mark.parametrize("counted_over", [1, 6, 30])
@pytest.mark.parametrize(("before", "after"), [(20.0, 200.0), (200.0, 20.0), (200.0, 0.0)])
def test_a_counter_that_averages_minutes_may_lag_behind_a_step(before: float, after: float, counted_over: int) -> None:
    of, windows = account(before), [before] * 40
    for number in range(100):
        of.observe(after)
        windows.append(after)
        lagging = windows[-2 - counted_over : -2]
        assert of.compare(sum(lagging) / len(lagging), 400.0, 10.0, 10.0 * number) == ""
