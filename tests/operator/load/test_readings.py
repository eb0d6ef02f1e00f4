from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_operator.load.readings import Fault, Rates, Reading, bounded, rates_of, reading_of


def series(text: Any, **labels: str) -> dict[str, Any]:
    return {"metric": labels, "value": [1700000000.123, text]}


@pytest.mark.parametrize(
    ("answer", "reading"),
    [
        ([series("0.42", instance="a")], Reading(0.42)),
        ([1700000000.123, "0.42"], Reading(0.42)),
        ([series("1")], Reading(1.0)),
        ([series("-0.003")], Reading(0.0)),
        ([series("1.004")], Reading(1.0)),
        ([series("4.2e-1")], Reading(0.42)),
    ],
)
def test_one_series_or_a_scalar_is_a_part_and_what_rate_extrapolates_is_bounded(
    answer: object, reading: Reading
) -> None:
    assert reading_of(answer) == reading


SHAPELESS = "gives something else than one number a series; does it end in a range such as [5m]?"


@pytest.mark.parametrize(
    ("answer", "reading"),
    [
        (
            [],
            Reading(
                None, Fault("NoSeries", "gives no series; does the metric still have this name, and is it scraped?")
            ),
        ),
        (
            [series("0.1", cpu="0"), series("0.2", cpu="1")],
            Reading(None, Fault("ManySeries", "gives 2 series, but must give one; put it in avg() or max()")),
        ),
        (
            [series("NaN")],
            Reading(None, Fault("NotFinite", "is 'NaN', not a finite number; is something divided by 0?")),
        ),
        (
            [series("+Inf")],
            Reading(None, Fault("NotFinite", "is '+Inf', not a finite number; is something divided by 0?")),
        ),
        (
            [series("1e400")],
            Reading(None, Fault("NotFinite", "is '1e400', not a finite number; is something divided by 0?")),
        ),
        ([series("-0.5")], Reading(None, Fault("Negative", "is -0.5, but must be from 0 to 1"))),
        (
            [series("57.3")],
            Reading(
                1.0, Fault("AboveOne", "is 57.3 and counts as 1: it must be from 0 to 1, a percentage divided by 100")
            ),
        ),
        ([series("busy")], Reading(None, Fault("NotANumber", "gives 'busy', which is no number"))),
        ([series("1_0")], Reading(None, Fault("NotANumber", "gives '1_0', which is no number"))),
        ([series("")], Reading(None, Fault("NotANumber", "gives '', which is no number"))),
        ([series(0.5)], Reading(None, Fault("BadAnswer", "gives 0.5, where Prometheus gives a number in a text"))),
        (
            [series("x" * 5000)],
            Reading(None, Fault("NotANumber", f"gives '{'x' * 39}..., which is no number")),
        ),
        ([series("\x1b[31mé")], Reading(None, Fault("NotANumber", "gives '\\x1b[31m\\xe9', which is no number"))),
        ([1700000000.123, "some text"], Reading(None, Fault("NotANumber", "gives 'some text', which is no number"))),
        ([{"metric": {}, "values": [[1, "0.5"], [2, "0.5"]]}], Reading(None, Fault("BadAnswer", SHAPELESS))),
        ([{"metric": {}, "histogram": [1, {}]}], Reading(None, Fault("BadAnswer", SHAPELESS))),
        ({"0.5": 1}, Reading(None, Fault("BadAnswer", SHAPELESS))),
        (None, Reading(None, Fault("BadAnswer", SHAPELESS))),
    ],
)
def test_anything_else_is_a_fault_with_a_name_and_a_sentence(answer: object, reading: Reading) -> None:
    assert reading_of(answer) == reading


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["metric", "value", "pod"]), inner),
    max_leaves=20,
)
numbers = st.floats().map(repr) | st.text(max_size=20) | st.just("1e400")
vectors = st.lists(numbers.map(series), max_size=3)


@given(json_values | vectors)
def test_no_answer_gets_through_unless_it_is_from_0_to_1_and_every_gap_is_named(answer: object) -> None:
    reading = reading_of(answer)
    if reading.value is None:
        assert reading.fault is not None
        assert reading.fault.sentence.isprintable()
        assert len(reading.fault.sentence) < 200
    else:
        assert 0.0 <= reading.value <= 1.0


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_larger_number_never_counts_as_less(number: float) -> None:
    reading = bounded(number)
    assert reading.value is None or reading.value == min(max(number, 0.0), 1.0)


def test_rates_of_clients_are_read_by_namespace_and_pod() -> None:
    answer = [
        series("12.5", namespace="shop", pod="web-0"),
        series("3", namespace="shop", pod="web-0", code="500"),
        series("7", pod="job-1"),
        series("NaN", namespace="shop", pod="web-1"),
        series("-2", namespace="shop", pod="web-2"),
        series("1", instance="10.0.0.1"),
        {"metric": {"pod": "web-3"}, "values": []},
    ]
    assert rates_of(answer, "ai") == Rates(
        {"shop/web-0": 15.5, "ai/job-1": 7.0},
        [
            Fault("NotFinite", "is 'NaN', not a finite number; is something divided by 0?"),
            Fault("Negative", "is -2 for pod 'web-2', but must not be negative"),
            Fault("BadAnswer", "gives a series without the label pod"),
            Fault("BadAnswer", SHAPELESS),
        ],
    )


def test_a_scalar_names_no_client() -> None:
    assert rates_of([1.0, "5"], "ai") == Rates(
        {}, [Fault("BadAnswer", "gives no series, but must give one a client, with the label pod")]
    )


@given(json_values | st.lists(st.tuples(numbers, st.text(max_size=8)).map(lambda n: series(n[0], pod=n[1]))))
def test_no_rate_of_a_client_is_negative_or_infinite(answer: object) -> None:
    rates = rates_of(answer, "ai")
    assert all(0.0 <= rate < float("inf") for rate in rates.by_pod.values())
