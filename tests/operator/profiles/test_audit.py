from math import nan

import pytest

from forefill_operator.profiles.audit import Coefficients, audited_from, best, error, skills
from forefill_operator.profiles.models import Course

ALTERNATING = Course([1.0, 3.0] * 50, 0.0, 10.0)
SILENT = [nan] * 100


def test_skill_is_one_less_the_error_over_that_of_the_last_value() -> None:
    found = skills(ALTERNATING, SILENT, "Ensemble")
    assert found["LastValue"] == 0.0
    # The last value errs by 2 each time, a steady mean of 2 by 1.
    assert found["Intermittent"] == pytest.approx(0.5, abs=0.06)
    assert "Ensemble" not in found


def test_what_the_sidecars_told_is_scored_as_the_model_in_use() -> None:
    told = [rate + 0.2 for rate in ALTERNATING.rates]
    assert skills(ALTERNATING, told, "Ensemble")["Ensemble"] == pytest.approx(0.9)
    assert skills(ALTERNATING, told, "LastValue")["LastValue"] == pytest.approx(0.0)


def test_only_the_last_part_is_audited() -> None:
    first = audited_from(100)
    course = Course([9.0] * first + [1.0, 3.0] * ((100 - first) // 2), 0.0, 10.0)
    told = [0.0] * first + list(course.rates[first:])
    assert skills(course, told, "Ensemble")["Ensemble"] == 1.0


def test_windows_that_were_not_measured_or_not_forecast_are_not_scored() -> None:
    rates = list(ALTERNATING.rates)
    told = list(rates)
    rates[80], told[90] = nan, nan
    assert skills(Course(rates, 0.0, 10.0), told, "Ensemble")["Ensemble"] == 1.0


def test_given_coefficients_are_audited_with_the_others() -> None:
    found = skills(ALTERNATING, SILENT, "Ensemble", Coefficients([-0.9], []))
    assert found["Arima"] == max(found.values())


def test_demand_that_never_changes_makes_no_model_better() -> None:
    assert set(skills(Course([2.0] * 50, 0.0, 10.0), [2.0] * 50, "Ensemble").values()) == {0.0}


@pytest.mark.parametrize("rates", [[1.0], [nan] * 10, [nan, 1.0], []])
def test_next_to_nothing_can_be_audited(rates: list[float]) -> None:
    assert set(skills(Course(rates, 0.0, 10.0), [nan] * len(rates), "Ensemble").values()) == {0.0}
    assert error(rates, rates) == 0.0


@pytest.mark.parametrize(
    ("found", "named"),
    [
        ({"LastValue": 0.0, "Ensemble": 0.2, "Arima": 0.205}, "Ensemble"),
        ({"LastValue": 0.0, "Ensemble": 0.2, "Arima": 0.22}, "Arima"),
        ({"LastValue": 0.0, "Arima": 0.001}, "Arima"),
    ],
)
def test_the_model_in_use_is_named_unless_another_is_clearly_better(found: dict[str, float], named: str) -> None:
    assert best(found, "Ensemble") == named
