"""`forefill simulate` as scripts call it: files in, files and one document out, exit statuses."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from forefill_lab.simulator import command

Files = Callable[[str], list[str]]

HEADER = "t,client,offered,granted,served_on_time,served_late,dropped,waiting,forecast,trust,priority"
DEMAND = "t,client,tokens\n" + "".join(f"{100 + t},{name},{n}\n" for t in range(40) for name, n in (("a", 3), ("b", 9)))
FIGURES = {
    "capacity_used", "controller", "dropped", "false_throttle", "jain", "late_share", "mean_wait_seconds", "offered",
    "on_time_share", "over_grant", "wait_p50_seconds", "wait_p95_seconds", "worst_client", "worst_on_time_share",
}  # fmt: skip


@pytest.mark.parametrize("controller", ["forefill", "static", "central"])
def test_a_row_a_tick_and_client_accounts_for_every_token(files: Files, tmp_path: Path, controller: str) -> None:
    out = tmp_path / "ticks.csv"
    assert command.main([*files(DEMAND), "--controller", controller, "--out", str(out)]) == 0
    assert out.read_text().partition("\n")[0] == HEADER
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [(row["t"], row["client"]) for row in rows] == [(str(100 + t), name) for t in range(40) for name in "ab"]
    waiting = {"a": 0.0, "b": 0.0}
    for row in rows:
        before = waiting[row["client"]]
        moved = sum(float(row[column]) for column in ("served_on_time", "served_late", "dropped", "waiting"))
        assert moved == pytest.approx(before + float(row["offered"]))
        waiting[row["client"]] = float(row["waiting"])
    for tick in range(40):
        assert sum(float(row["granted"]) for row in rows[2 * tick : 2 * tick + 2]) <= 20.0 * (1 + 1e-9)


def test_json_is_one_document_with_the_totals_of_each_controller(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([*files(DEMAND), "--compare", "forefill,ewma,central", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == ["forefill", "ewma", "central"]
    assert {frozenset(totals) for totals in printed.values()} == {frozenset(FIGURES)}
    assert printed["central"]["offered"] == 480.0


def test_without_json_a_table_names_every_controller(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([*files(DEMAND), "--compare", "static,static-weighted"]) == 0
    captured = capsys.readouterr()
    assert all(word in captured.out for word in ("480 tokens offered", "static", "static-weighted", "worst client"))
    assert captured.err == ""


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_run_is_drawn(files: Files, tmp_path: Path, suffix: str) -> None:
    picture = tmp_path / f"run.{suffix}"
    assert command.main([*files(DEMAND), "--plot", str(picture), "--json"]) == 0
    assert picture.stat().st_size > 10_000


def test_everything_that_may_go_wrong_can_be_asked_for(files: Files, tmp_path: Path) -> None:
    (tmp_path / "expect.csv").write_text("known_at,t,client,tokens\n105,120,b,9\n")
    trouble = (
        "--delay .2 --loss .01 --skew .005 --straggle a=2 --restart-operator 10:2 --restart-operator 30 "
        "--lie a=x3 --lie b=burn:3:2:x2 --seed 4 --json"
    )
    assert command.main([*files(DEMAND), "--expect", str(tmp_path / "expect.csv"), *trouble.split()]) == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--controller magic", "--controller is 'magic'; choose one of forefill, static,"),
        ("--compare ewma,magic", "--compare is 'magic'; choose one of forefill, static,"),
        ("--lie z=x1.5", "--lie z=x1.5: the demand has no client 'z'"),
        ("--lie a=1.5", "--lie a=1.5: must be xF"),
        ("--straggle z=1", "--straggle z=1: the demand has no client 'z'"),
        ("--straggle a=soon", "--straggle a=soon: is 'soon'; it must be from 0 to 60"),
        ("--loss 2", "argument --loss: is '2'; it must be from 0 to 1"),
        ("--delay nan", "argument --delay: is 'nan'; it must be from 0 to 60"),
        ("--seed -1", "argument --seed: is '-1'; it must be a whole number from 0"),
        ("--restart-operator x", "argument --restart-operator: is 'x'; it must be T or T:AWAY, seconds from 0"),
        ("--plot run.pdf", "--plot is 'run.pdf'; it must end in .png or .svg"),
        ("--record record.csv", "either --demand or --record is required, and not both"),
        ("--expect /nowhere.csv", "/nowhere.csv: no such file or directory"),
        ("--wrong", "unrecognized arguments: --wrong"),
    ],
)
def test_a_word_that_can_not_be_used_is_named(
    files: Files, capsys: pytest.CaptureFixture[str], words: str, sentence: str
) -> None:
    assert command.main([*files(DEMAND), *words.split()]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"forefill simulate: {sentence}")
    assert (captured.err.count("\n"), captured.out) == (1, "")


def test_a_fault_in_a_file_is_named_with_the_file_and_the_line(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(files("t,client,tokens\n0,a,1\n1,a,-2\n")) == 2
    sentence = f"{tmp_path}/demand.csv: line 3: tokens is '-2'; it must be a number from 0 to 1e+12"
    assert capsys.readouterr().err == f"forefill simulate: {sentence}\n"


def test_floors_above_max_are_refused_as_the_operator_refuses_them(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = files(DEMAND)
    policy = tmp_path / "policy.yaml"
    policy.write_text(policy.read_text() + "  clients: {classes: [{name: a, floor: 15}, {name: b, floor: 15}]}\n")
    assert command.main(words) == 2
    assert "spec.clients.classes" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "kind: Pod\n", "{", "fillRate: {max: .nan}\n"])
def test_what_is_no_policy_is_refused(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    words = files(DEMAND)
    (tmp_path / "policy.yaml").write_text(text)
    assert command.main(words) == 2
    assert capsys.readouterr().err.startswith(f"forefill simulate: {tmp_path}/policy.yaml")
