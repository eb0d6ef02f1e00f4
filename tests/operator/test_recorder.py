"""What clients report is written down, one line an entry, and answered as ever."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from forefill_operator.client import Client
from forefill_operator.recorder import COLUMNS, RecordingController
from forefill_operator.sharing import controller_of
from forefill_operator.usage import Misused
from forefill_protocol.messages import Forecast, PolicyReport, Refused, Report


def report(sequence: int, *policies: str) -> Report:
    forecasts = [Forecast(10.0, 9.0, 14.0, 16.0)]
    return Report(sequence, [PolicyReport(each, 10.0, 100.0, 80.0, 5.0, 15.0, 50, forecasts) for each in policies])


@pytest.fixture
def open_recorder(tmp_path: Path) -> Callable[[], RecordingController]:
    return lambda: RecordingController(tmp_path / "record.csv")


def test_a_line_is_appended_for_each_entry_through_restarts(
    open_recorder: Callable[[], RecordingController], tmp_path: Path
) -> None:
    client = Client("ns", "sa", "pod", "uid")
    for sequence in (1, 2):
        recorder = open_recorder()
        answers = recorder.report(client, report(sequence, "ns/llm", "ns/api"), now=0.0)
        assert [type(answer) for _, answer in answers] == [Refused, Refused]
        recorder.close()
    header, *rows = csv.reader((tmp_path / "record.csv").read_text().splitlines())
    assert tuple(header) == COLUMNS
    assert [row[1:] for row in rows] == [
        [policy, "ns/pod", "10.0", "100.0", "80.0", "5.0", "15.0"] for policy in ("ns/llm", "ns/api") * 2
    ]


def test_a_file_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misused, match=r"^--record .*nowhere.*: No such file or directory$"):
        controller_of(None, tmp_path / "nowhere" / "record.csv")
