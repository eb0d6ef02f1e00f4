import pytest

from forefill_sidecar.forecast import table
from forefill_sidecar.forecast.table import Table, Unusable
from forefill_sidecar.scoring import Window


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def test_reads_one_column_by_name() -> None:
    assert table.read(lines("a,b\n1,2\n3,4.5\n"), "b", 10.0, None) == Table([Window(2.0), Window(4.5)], 0.0)


def test_passes_over_blank_lines() -> None:
    assert table.read(lines("b\n1\n\n2\n\n"), "b", 10.0, None).windows == [Window(1.0), Window(2.0)]


def test_stamps_place_the_first_window_and_show_gaps() -> None:
    text = "when,n\n2024-01-03T06:00:00Z,1\n2024-01-03T06:00:10.4Z,2\n2024-01-03T06:00:40Z,3\n"
    read = table.read(lines(text), "n", 10.0, "when")
    assert read == Table([Window(1.0), Window(2.0), Window(3.0, missed=2)], 2 * 86400.0 + 6 * 3600.0)


def test_stamps_with_an_offset_are_brought_to_utc() -> None:
    text = "when,n\n2024-01-01T01:00:00+02:00,1\n2024-01-01T01:01:00+02:00,2\n"
    assert table.read(lines(text), "n", 60.0, "when").second_of_week == 6 * 86400.0 + 23 * 3600.0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the file is empty"),
        ("a,b\n1,2\n3,4\n", "there is no column 'n'; the first line names a, b"),
        ("n,n\n1,2\n3,4\n", "'n' is the name of 2 columns; give each a name of its own"),
        ("n\n", "the file has 0 rows of values"),
        ("n\n1\n", "the file has 1 rows of values"),
        ("n\n1\nnan\n", "line 3: n is 'nan'; it must be a number from 0"),
        ("n\n1\n-2\n", "line 3: n is '-2'; it must be a number from 0"),
        ("n\n1\ninf\n", "line 3: n is 'inf'"),
        ("n\n1\nmany\n", "line 3: n is 'many'"),
        ("n\n1e16\n2\n", "line 2: n is '1e16'"),
        ("m,n\n1,2\n1\n", "line 3 has no n"),
        ("m,n\n1,2\n1, \n", "line 3 has no n"),
        ("n\n1\n\0\n", "line 3"),
    ],
)
def test_what_cannot_be_forecast_is_refused_by_line(text: str, complaint: str) -> None:
    with pytest.raises(Unusable, match=complaint):
        table.read(lines(text), "n", 10.0, None)


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        ("2024-01-01T00:00:15Z", "line 3 is 15 s after the one before; it must be 10 s, or a multiple"),
        ("2024-01-01T00:00:00Z", "line 3 is 0 s after"),
        ("2023-12-31T23:59:50Z", "line 3 is -10 s after"),
        ("noon", "line 3: when is 'noon'; it must be an ISO 8601 time"),
    ],
)
def test_stamps_that_are_not_windows_apart_are_refused(second: str, complaint: str) -> None:
    with pytest.raises(Unusable, match=complaint):
        table.read(lines(f"when,n\n2024-01-01T00:00:00Z,1\n{second},2\n"), "n", 10.0, "when")
