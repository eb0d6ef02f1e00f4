import io

from rich.console import Console, RenderableType

from forefill_lab.demo import table
from forefill_lab.demo.fleet import CAPACITY
from forefill_lab.demo.load import Load, Outcome
from forefill_lab.demo.results import Result
from forefill_lab.demo.sample import Reading, Sample, beginning, sample_of

STATIC = Result(100, 90, 0.5, 2.0, 10, 0.7, 0.0)
FOREFILL = Result(100, 100, 0.9, 0.4, 0, 0.75, 0.0)


def reading(**changes: object) -> Reading:
    values: dict[str, object] = {
        "name": "chat",
        "offered": 90,
        "served": 80,
        "rejected": 3,
        "waiting": 7,
        "fill_rate": 66.7,
        "forecast": None,
        "offered_rate": 50.0,
        "served_rate": 40.0,
    }
    return Reading(**{**values, **changes})  # type: ignore[arg-type]


def text_of(renderable: RenderableType, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(renderable)
    return console.export_text()


def test_a_sample_tells_rates_since_the_one_before() -> None:
    load = Load("chat", port=1, zero=0.0, sent=30)
    load.outcomes += [Outcome(0.0, 200, 0.1)] * 20
    load.statuses.update({200: 20, 429: 2})
    figures = {
        "forefill_sidecar_fill_rate": 66.7,
        "forefill_sidecar_waiting_requests": 8.0,
        "forefill_sidecar_forecast_tokens_per_second": 55.0,
    }
    before = beginning(-4.0, ["chat"])
    assert sample_of(-3.5, [load], [figures], before) == Sample(
        -3.5, [Reading("chat", 30, 20, 2, 8, 66.7, 55.0, 60.0, 40.0)]
    )


def test_the_panel_shows_each_client_and_the_total() -> None:
    samples = [Sample(at, [reading(), reading(name="jobs", forecast=30.0)]) for at in (0.5, 1.0)]
    lines = [line.strip("│ ").split() for line in text_of(table.panel("static", samples, 20.0, 100)).splitlines()]
    rows = {line[0]: line[-6:] for line in lines if line}
    assert rows["chat"] == ["50/s", "67/s", "-", "40/s", "7", "3"]
    assert rows["jobs"] == ["50/s", "67/s", "30/s", "40/s", "7", "3"]
    assert rows["in"] == ["100/s", "133/s", "30/s", "80/s", "14", "6"]


def test_no_line_of_the_panel_is_wider_than_the_terminal() -> None:
    samples = [Sample(at / 2, [reading(rejected=at)]) for at in range(200)]
    for width in (80, 100, 124):
        assert {len(line) for line in text_of(table.panel("static", samples, 20.0, width), width).splitlines()} == {
            width
        }


def test_demand_is_red_where_it_waited_or_was_refused() -> None:
    calm, waits, refused = reading(waiting=0), reading(waiting=1), reading(waiting=0, rejected=4)
    styles = [str(span.style) for span in table.demand_line([calm, waits, reading(waiting=0), refused]).spans]
    assert styles == [table.FINE, table.SHORT, table.FINE, table.SHORT]


def test_blocks_grow_with_the_rate_and_never_hide_one() -> None:
    assert table.blocks([0.0, 1.0, table.TOP / 2, table.TOP, 9 * table.TOP]) == " ▁▄██"


def test_the_bar_is_as_long_as_asked_for_even_when_more_is_served_than_the_capacity() -> None:
    bars = [table.used_bar(part * CAPACITY, 30).plain for part in (0.0, 0.5, 1.2)]
    assert [len(bar) for bar in bars] == [30, 30, 30]
    assert [bar[-4:] for bar in bars] == ["  0%", " 50%", "120%"]


def test_the_comparison_names_every_figure_of_both() -> None:
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in text_of(table.comparison({"static": STATIC, "forefill": FOREFILL})).splitlines()
        if line.startswith("│")
    ]
    assert rows == [
        ["requests on time (waited < 0.5 s)", "50.0%", "90.0%"],
        ["waiting, 95th percentile", "2.00 s", "0.40 s"],
        ["answered 429", "10", "0"],
        ["capacity used", "70.0%", "75.0%"],
        ["handed out beyond the capacity", "0/s", "0/s"],
        ["requests offered", "100", "100"],
    ]


def test_a_line_says_the_same_without_a_terminal() -> None:
    assert table.line("static", Sample(1.0, [reading()])) == (
        "static   1.0 s: chat 50/s of 67/s (7 waiting, 3 refused); 40 of 200/s used"
    )
