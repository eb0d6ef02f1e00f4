"""What the store did for each report, by its own counts."""

import pytest

from forefill_lab.reports import command, shared
from forefill_lab.reports.shared import Work


def test_what_the_store_did_is_told_per_report_most_first() -> None:
    before = Work({"get": 10, "info": 4}, 1.0)
    after = Work({"get": 30, "evalsha": 40, "info": 6, "ping": 0}, 1.5)
    assert shared.between(before, after, 20) == {
        "cpu_microseconds_per_report": 25_000.0,
        "commands_per_report": 3.0,
        "commands": {"evalsha": 2.0, "get": 1.0},
    }


def test_several_operators_need_a_store(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--operators", "2"])
    assert ended.value.code == 2
    assert "--operators above 1 need --store URL" in capsys.readouterr().err
