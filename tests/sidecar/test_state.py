import logging
from pathlib import Path

import msgspec
import pytest

from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.forecast.season import Season
from forefill_sidecar.profile import Profile
from forefill_sidecar.state import StateFile

POLICY = "ai/llm"


def learned() -> tuple[Predictor, Profile]:
    season = Season()
    predictor, profile = Predictor("Ensemble", 3, season), Profile(season)
    for step in range(300):
        profile.request(float(step), "/v1", 10.0, 2.0)
        profile.window(5.0 + step % 7)
        predictor.observe(5.0 + step % 7)
    return predictor, profile


@pytest.fixture
def file(tmp_path: Path) -> StateFile:
    return StateFile(tmp_path, POLICY)


def test_a_restarted_sidecar_forecasts_as_the_one_before(file: StateFile) -> None:
    predictor, profile = learned()
    file.save(predictor, profile, wall_time=1000.0)
    twin = Predictor("Ensemble", 3)
    restored = file.load(twin, wall_time=1004.0)
    assert restored is not None
    assert restored.cost() == profile.cost()
    assert twin.forecasts() == predictor.forecasts()


def test_the_windows_since_are_a_gap(file: StateFile) -> None:
    predictor, profile = learned()
    file.save(predictor, profile, wall_time=1000.0)
    late, skipped = Predictor("Ensemble", 3), predictor
    file.load(late, wall_time=1000.0 + 3600.0)
    skipped.skip(360)
    assert late.forecasts() == skipped.forecasts()


def test_the_profile_goes_on_counting_the_windows_of_the_predictor(file: StateFile) -> None:
    file.save(*learned(), wall_time=1000.0)
    twin = Predictor("Ensemble", 3, Season(10.0, 4495.0))
    restored = file.load(twin, wall_time=1000.0)
    assert restored is not None
    restored.window(70.0)
    twin.observe(70.0)
    restored.window(900.0)
    assert restored.usual_rate(0) == 900.0


def test_without_a_file_there_is_nothing(file: StateFile, caplog: pytest.LogCaptureFixture) -> None:
    assert file.load(Predictor("Ensemble", 3), wall_time=0.0) is None
    assert not caplog.records


def spoil(path: Path, how: str) -> None:
    document = msgspec.msgpack.decode(path.read_bytes())
    if how == "cut short":
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "noise":
        path.write_bytes(b"\xc1" * 50)
    elif how == "too large":
        path.write_bytes(b"\0" * 4_000_001)
    elif how == "another version":
        path.write_bytes(msgspec.msgpack.encode(document | {"version": 0}))
    elif how == "another policy":
        path.write_bytes(msgspec.msgpack.encode(document | {"policy": "ai/other"}))
    elif how == "another shape":
        path.write_bytes(msgspec.msgpack.encode(document | {"predictor": {"version": 1}}))
    else:
        path.write_bytes(msgspec.msgpack.encode(document | {"wall_time": 5000.0}))


@pytest.mark.parametrize(
    "how", ["cut short", "noise", "too large", "another version", "another policy", "another shape", "the future"]
)
def test_a_file_that_is_no_good_is_logged_and_ignored(
    file: StateFile, tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    file.save(*learned(), wall_time=1000.0)
    spoil(next(tmp_path.iterdir()), how)
    fresh = Predictor("Ensemble", 3)
    before = fresh.snapshot()
    with caplog.at_level(logging.WARNING):
        assert file.load(fresh, wall_time=2000.0) is None
    assert fresh.snapshot() == before
    assert "ignored" in caplog.text


def test_a_disk_that_can_not_be_written_does_not_stop_the_sidecar(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    StateFile(tmp_path / "missing", POLICY).save(*learned(), wall_time=1000.0)
    assert "could not be written" in caplog.text
