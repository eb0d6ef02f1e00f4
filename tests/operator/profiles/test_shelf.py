from math import nan
from pathlib import Path

import msgspec
import pytest

from forefill_operator.profiles.calendar import Quarter
from forefill_operator.profiles.days import Days
from forefill_operator.profiles.past import Fitted
from forefill_operator.profiles.pasts import Kept
from forefill_operator.profiles.shelf import Shelf


@pytest.fixture
def kept() -> list[Kept]:
    days = Days()
    days.add(Quarter(1, False, 4), 20.0, 10.0)
    fitted = Fitted([0.3], [-0.7], {"Ensemble": 0.2, "LastValue": 0.0}, "Ensemble")
    return [Kept("ai/llm", "ai/Deployment/web", 10.0, days, 0.5, fitted), Kept("ai/llm", "ai/api", 10.0, Days(), 0.0)]


def test_what_is_written_is_read_again(kept: list[Kept], tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "state" / "profiles")
    shelf.write(kept)
    assert shelf.read() == kept
    assert [path.name for path in shelf.path.parent.iterdir()] == ["profiles"]


def test_nothing_is_known_at_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert (Shelf(tmp_path / "profiles").read(), caplog.messages) == ([], [])


@pytest.mark.parametrize("content", [b"", b"\xc1nonsense", b"\x82\xa7version\x02\xa4kept\x90"])
def test_what_cannot_be_read_is_learned_again(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "profiles"
    path.write_bytes(content)
    assert Shelf(path).read() == []


@pytest.mark.parametrize("wrong", ["slots", "nan", "best", "coefficients", "interval"])
def test_what_could_not_have_been_learned_is_not_taken_up(wrong: str, kept: list[Kept], tmp_path: Path) -> None:
    document = msgspec.to_builtins({"version": 1, "kept": kept})
    first = document["kept"][0]
    match wrong:
        case "slots":
            first["days"]["weekend"]["tokens"].pop()
        case "nan":
            first["days"]["weekday"]["seconds"][3] = nan
        case "best":
            first["fitted"]["best"] = "Oracle"
        case "coefficients":
            first["fitted"]["ar"] = [1e9]
        case "interval":
            first["interval"] = 0.0
    path = tmp_path / "profiles"
    path.write_bytes(msgspec.msgpack.encode(document))
    assert Shelf(path).read() == []


def test_a_broken_file_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "profiles"
    path.write_bytes(b"nonsense")
    Shelf(path).read()
    assert caplog.messages[0].startswith(f"{path}: what was learned of workloads can't be read: ")


def test_a_disk_that_does_not_take_it_is_told_and_nothing_else_happens(
    kept: list[Kept], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file")
    Shelf(tmp_path / "state" / "profiles").write(kept)
    assert "what was learned of workloads can't be kept" in caplog.text
