import logging
from pathlib import Path

import msgspec
import pytest

from forefill_protocol.messages import Expectation
from forefill_sidecar import state
from forefill_sidecar.expectations import Expectations
from forefill_sidecar.forecast.predictor import Predictor
from forefill_sidecar.forecast.season import Season
from forefill_sidecar.profile import Profile
from forefill_sidecar.state import StateFile

POLICY = "ai/llm"


def learned() -> tuple[Predictor, Profile]:
    season = Season()
    predictor, profile = Predictor("Ensemble", 3, season), Profile(season)
    for step in range(300):
        profile.arrivals.add(float(step), 0, 10.0, 2.0)
        profile.take([])
        profile.window(5.0 + step % 7, 1, 10.0)
        predictor.observe(5.0 + step % 7)
    return predictor, profile


def save(file: StateFile, predictor: Predictor, profile: Profile, wall_time: float) -> None:
    expectations = Expectations()
    expectations.declare(1.0, 60.0, 10.0, 500.0)
    file.write(state.encode(POLICY, predictor, profile, expectations, now=1.0, wall_time=wall_time))


def load(file: StateFile, predictor: Predictor, wall_time: float) -> Profile | None:
    return file.load(predictor, Expectations(), now=50.0, wall_time=wall_time)


@pytest.fixture
def file(tmp_path: Path) -> StateFile:
    return StateFile(tmp_path, POLICY)


def test_a_restarted_sidecar_forecasts_as_the_one_before(file: StateFile) -> None:
    predictor, profile = learned()
    save(file, predictor, profile, wall_time=1000.0)
    twin = Predictor("Ensemble", 3)
    restored = load(file, twin, wall_time=1004.0)
    assert restored is not None
    assert restored.cost() == profile.cost()
    assert twin.forecasts() == predictor.forecasts()


def test_declared_work_comes_when_it_would_have_come(file: StateFile) -> None:
    save(file, *learned(), wall_time=1000.0)
    expectations = Expectations()
    file.load(Predictor("Ensemble", 3), expectations, now=50.0, wall_time=1004.0)
    assert expectations.coming(50.0) == [Expectation(after_seconds=56.0, for_seconds=10.0, tokens=500.0)]


def test_declared_work_of_another_shape_is_ignored_alone(
    file: StateFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(file, *learned(), wall_time=1000.0)
    path = next(tmp_path.iterdir())
    document = msgspec.msgpack.decode(path.read_bytes())
    path.write_bytes(msgspec.msgpack.encode(document | {"declared": []}))
    assert load(file, Predictor("Ensemble", 3), wall_time=1004.0) is not None
    assert "declared work does not fit and is ignored" in caplog.text


def test_the_windows_since_are_a_gap(file: StateFile) -> None:
    predictor, profile = learned()
    save(file, predictor, profile, wall_time=1000.0)
    late, skipped = Predictor("Ensemble", 3), predictor
    load(file, late, wall_time=1000.0 + 3600.0)
    skipped.skip(360)
    assert late.forecasts() == skipped.forecasts()


def test_the_profile_goes_on_counting_the_windows_of_the_predictor(file: StateFile) -> None:
    save(file, *learned(), wall_time=1000.0)
    twin = Predictor("Ensemble", 3, Season(10.0, 4495.0))
    restored = load(file, twin, wall_time=1000.0)
    assert restored is not None
    restored.window(70.0, 1, 10.0)
    twin.observe(70.0)
    restored.window(900.0, 1, 10.0)
    assert restored.usual_rate(0) == 900.0


def test_without_a_file_there_is_nothing(file: StateFile, caplog: pytest.LogCaptureFixture) -> None:
    assert load(file, Predictor("Ensemble", 3), wall_time=0.0) is None
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
    save(file, *learned(), wall_time=1000.0)
    spoil(next(tmp_path.iterdir()), how)
    fresh = Predictor("Ensemble", 3)
    before = fresh.snapshot()
    with caplog.at_level(logging.WARNING):
        assert load(file, fresh, wall_time=2000.0) is None
    assert fresh.snapshot() == before
    assert "ignored" in caplog.text


def test_a_disk_that_can_not_be_written_does_not_stop_the_sidecar(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(StateFile(tmp_path / "missing", POLICY), *learned(), wall_time=1000.0)
    assert "could not be written" in caplog.text
