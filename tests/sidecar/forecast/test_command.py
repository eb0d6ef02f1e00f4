import csv
import random
import subprocess
import sys
from pathlib import Path

import pytest

from forefill_sidecar.forecast import MODELS, command


def written(path: Path, values: list[float]) -> Path:
    path.write_text("tokens\n" + "".join(f"{value}\n" for value in values))
    return path


def bursty(count: int, seed: int) -> list[float]:
    generator = random.Random(seed)
    return [round(generator.gammavariate(1.2, 40.0), 3) if generator.random() < 0.9 else 0.0 for _ in range(count)]


def run(source: Path, out: Path, *more: str) -> list[dict[str, str]]:
    words = ["--input", str(source), "--column", "tokens", "--interval", "10", "--out", str(out), *more]
    assert command.main(words) == 0
    with out.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("model", MODELS)
def test_writes_one_row_a_step_and_horizon(tmp_path: Path, model: str) -> None:
    values = bursty(50, 1)
    rows = run(written(tmp_path / "in.csv", values), tmp_path / "out.csv", "--model", model)
    assert list(rows[0]) == ["step", "horizon", "mean", "p50", "p90", "p95", "actual"]
    pairs = [(int(row["step"]), int(row["horizon"])) for row in rows]
    assert pairs == [(step, horizon) for step in range(1, 50) for horizon in (1, 2, 3) if horizon <= step]
    assert all(float(row["actual"]) == values[int(row["step"])] for row in rows)
    assert all(float(row["p50"]) <= float(row["p90"]) <= float(row["p95"]) for row in rows)


@pytest.mark.parametrize("model", MODELS)
def test_no_row_knows_a_value_at_or_after_its_step(tmp_path: Path, model: str) -> None:
    past, changed_from = bursty(300, 1), 150
    disturbed = past[:changed_from] + bursty(150, 2)
    one = run(written(tmp_path / "a.csv", past), tmp_path / "a.out", "--model", model)
    other = run(written(tmp_path / "b.csv", disturbed), tmp_path / "b.out", "--model", model)
    for before, after in zip(one, other, strict=True):
        if int(before["step"]) - int(before["horizon"]) < changed_from:
            assert before | {"actual": ""} == after | {"actual": ""}
    assert one != other


def test_gaps_are_neither_scored_nor_forecast_from(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    minutes = (0, 1, 2, 4, 9)
    source.write_text("t,tokens\n" + "".join(f"2024-01-01T00:{minute:02}:00,{minute + 1}\n" for minute in minutes))
    rows = run(source, tmp_path / "out.csv", "--time-column", "t", "--interval", "60", "--model", "LastValue")
    made = [(int(row["step"]), int(row["horizon"]), float(row["mean"]), float(row["actual"])) for row in rows]
    assert made == [(1, 1, 1.0, 2.0), (2, 1, 2.0, 3.0), (2, 2, 1.0, 3.0), (3, 2, 3.0, 5.0), (3, 3, 2.0, 5.0)]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--model", "Prophet"], "--model is 'Prophet'; choose one of Ensemble"),
        (["--interval", "0"], "--interval is 0; it must be above 0"),
        (["--interval", "nan"], "--interval is nan"),
        (["--interval", "soon"], "--interval: invalid float value: 'soon'"),
        (["--column", "cost"], "there is no column 'cost'; the first line names tokens"),
        (["--input", "missing.csv"], "missing.csv: no such file or directory"),
        (["--out", "missing/out.csv"], "missing/out.csv: no such file or directory"),
        (["--out", "in.csv"], "--out is the input file itself"),
        (["--plot", "out.gif"], "--plot is 'out.gif'; it must end in .png or .svg"),
        (["--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    written(Path("in.csv"), [1.0, 2.0])
    usual = ["--input", "in.csv", "--column", "tokens", "--interval", "10", "--out", "out.csv"]
    assert command.main([*usual, *words]) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert said.startswith("forefill forecast: ")
    assert said.count("\n") == 1


def test_a_file_that_is_not_text_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes(b"tokens\n\xff\xfe\n")
    words = ["--input", str(source), "--column", "tokens", "--interval", "10", "--out", str(tmp_path / "out.csv")]
    assert command.main(words) == 2
    assert "is not UTF-8 text" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_draws_the_forecasts_over_what_came(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra `lab`")
    picture = tmp_path / f"out.{ending}"
    run(written(tmp_path / "in.csv", bursty(80, 3)), tmp_path / "out.csv", "--plot", str(picture))
    head = picture.read_bytes()[:400]
    assert b"PNG" in head if ending == "png" else b"<svg" in head


def test_without_matplotlib_the_forecasts_are_still_written(tmp_path: Path) -> None:
    """A process that can't import matplotlib says so, after writing the table."""
    source, out = written(tmp_path / "in.csv", [1.0, 2.0, 3.0]), tmp_path / "out.csv"
    words = ["--input", str(source), "--column", "tokens", "--interval", "10", "--out", str(out), "--plot", "a.svg"]
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from forefill_sidecar.forecast import command\n"
        f"sys.exit(command.main({words!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "--plot needs matplotlib" in done.stderr
    assert out.read_text().startswith("step,horizon")
