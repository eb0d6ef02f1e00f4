import logging
from pathlib import Path

import msgspec
import pytest

from forefill_protocol.messages import Assignment
from forefill_sidecar.keepsake import FILE, VERSION, Keepsake, Kept


def kept(policy: str = "ns/llm", counted_from: float = 100.0) -> Kept:
    assignment = Assignment(
        policy=policy,
        policy_uid="uid",
        policy_generation=3,
        grant_sequence=7,
        answers=4,
        fill_rate=20.0,
        burst=30.0,
        safe_rate=5.0,
        next_report_seconds=10.0,
        rate_seconds=12.0,
        lease_seconds=30.0,
        mode="Enforce",
        ticket=b"ticket",
    )
    return Kept(assignment, counted_from)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    Keepsake(tmp_path).save([kept(), kept("ns/api", 101.0)])
    assert Keepsake(tmp_path).load(101.0) == [kept(), kept("ns/api", 101.0)]
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_the_newest_save_wins(tmp_path: Path) -> None:
    keepsake = Keepsake(tmp_path)
    keepsake.save([kept()])
    keepsake.save([kept(counted_from=110.0)])
    assert keepsake.load(120.0) == [kept(counted_from=110.0)]


def test_nothing_is_kept_before_the_first_save(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert Keepsake(tmp_path).load(100.0) == []
    assert caplog.messages == []


def test_a_lease_from_the_future_is_left_out(tmp_path: Path) -> None:
    Keepsake(tmp_path).save([kept(), kept("ns/api", 200.0), kept("ns/db", float("nan"))])
    assert Keepsake(tmp_path).load(150.0) == [kept()]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "can't be read and is ignored"),
        (b"\xc1garbage", "can't be read and is ignored"),
        (msgspec.msgpack.encode({"version": VERSION}), "can't be read and is ignored"),
        (msgspec.msgpack.encode({"version": VERSION, "kept": [{"counted_from": 1.0}]}), "can't be read and is ignored"),
        (msgspec.msgpack.encode({"version": VERSION + 1, "kept": []}), f"has version {VERSION + 1}, not {VERSION}"),
    ],
    ids=["empty", "garbage", "half", "without an assignment", "of another version"],
)
def test_a_file_that_makes_no_sense_is_as_if_it_were_not_there(
    content: bytes, words: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert Keepsake(tmp_path).load(100.0) == []
    assert words in caplog.text


def test_a_save_that_was_cut_short_leaves_the_one_before(tmp_path: Path) -> None:
    Keepsake(tmp_path).save([kept()])
    (tmp_path / FILE).with_suffix(".new").write_bytes(b"half")
    assert Keepsake(tmp_path).load(100.0) == [kept()]


def test_a_folder_that_cannot_be_written_is_logged_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    keepsake = Keepsake(tmp_path / "file")
    keepsake.save([kept()])
    assert keepsake.load(100.0) == []
    assert [(each.levelno, each.message.split(":")[0]) for each in caplog.records] == [
        (logging.WARNING, "the assignments could not be kept"),
        (logging.WARNING, f"{tmp_path / 'file' / FILE} can't be read and is ignored"),
    ]
