"""What an operator recorded is replayed under a policy, and said in a sentence."""

from pathlib import Path

import pytest

from forefill_lab.simulator import command, replay
from forefill_lab.simulator.demand import Unusable

HEADER = "time,policy,client,window_seconds,offered,admitted,refused,backlog"


def lines(windows: int = 12) -> list[str]:
    """Two clients whose windows of 10 s end five seconds apart: 3/s, and 30/s."""
    rows = [HEADER]
    for window in range(1, windows + 1):
        rows.append(f"{1000 + 10 * window},ai/llm,ai/small,10,30,30,0,0")
        rows.append(f"{1005 + 10 * window},ai/llm,ai/large,10,300,300,0,0")
        rows.append(f"{1005 + 10 * window},ai/other,ai/large,10,7,7,0,0")
    return rows


def test_tokens_of_a_window_are_spread_over_its_ticks() -> None:
    demand = replay.read(lines(2), "ai/llm")
    assert (demand.start, demand.step, demand.clients) == (1000.0, 1.0, ["ai/small", "ai/large"])
    assert demand.tokens[:, 0].tolist() == [3.0] * 20 + [0.0] * 5
    assert demand.tokens[:, 1].tolist() == [0.0] * 5 + [30.0] * 20
    assert (demand.joins, demand.leaves) == ([0, 5], [19, 24])


def test_a_policy_of_which_nothing_was_recorded_is_named_with_those_that_are_there() -> None:
    sentence = "nothing was recorded of policy ai/none; there are records of ai/llm, ai/other"
    with pytest.raises(Unusable, match=f"^{sentence}$"):
        replay.read(lines(), "ai/none")


def test_what_enforcement_would_have_done_is_said(
    tmp_path: Path, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "record.csv"
    record.write_text("\n".join(lines()) + "\n")
    assert command.main(["--policy", str(manifest), "--record", str(record)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Had ai/llm been enforced, ")
    assert "would have been refused. Most of them: ai/large (" in printed
