import pytest

from forefill_operator.explanation.page import Fact, Page, Step, Table, number, per_cent, plain, signed, spans

PAGE = Page(
    title="TokenPolicy ai/llm",
    facts=[Fact("mode", "Enforce"), Fact("load", "Held, 0.42 of 1", "Bad")],
    steps=[
        Step("base", "", 50.0),
        Step("predicted", "70 x 1.04", 72.8),
        Step("load", "0.42 x -100", -42.0),
        Step("target", "", 80.8, "Sum"),
        Step("ceiling", "what protects the upstream", 60.0, "Bound"),
    ],
    scale=400.0,
    tables=[
        Table("Clients", ["client", "class", "rate"], [["ai/web-0", "batch", "40"], ["ai/w", "", "9.5"]], 2, [0.8, 0.2])
    ],
    sentences=["All in all 60 tokens/s."],
)

TEXT = """\
TokenPolicy ai/llm
  mode  Enforce
  load  Held, 0.42 of 1

  base                                     50
  predicted  70 x 1.04                   72.8
  load       0.42 x -100                  -42
  target                                 80.8
  ceiling    what protects the upstream    60

Clients
  client    class  rate
  ai/web-0  batch    40
  ai/w              9.5

All in all 60 tokens/s.
"""


def test_a_page_is_plain_text_in_columns() -> None:
    assert plain(PAGE) == TEXT


def test_bars_of_terms_follow_each_other_and_sums_stand_on_the_ground() -> None:
    assert list(spans(PAGE.steps)) == [
        (0.0, 50.0),
        (50.0, 122.8),
        (pytest.approx(80.8), 122.8),
        (0.0, 80.8),
        (0.0, 60.0),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.0, "0"), (0.12345, "0.1235"), (9_999.4, "9999"), (12_345.6, "12,346"), (1e9, "1,000,000,000")],
)
def test_numbers_have_four_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_what_is_added_shows_its_sign() -> None:
    assert [signed(value) for value in (2.0, 0.0, -2.0)] == ["+2", "0", "-2"]
    assert per_cent(0.0512) == "5.12 %"
