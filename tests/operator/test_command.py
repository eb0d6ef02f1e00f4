import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from forefill_operator.command import main

Make = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path, make_manifest: Make) -> Path:
    """All that an operator without a cluster needs: policies, and tokens in its state folder."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "llm.yaml").write_text(yaml.safe_dump(make_manifest({})))
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "tokens.csv").write_text("one,web-0,uid-0\n")
    return tmp_path


def arguments(folder: Path, *more: str) -> list[str]:
    return [f"--policies={folder / 'policies'}", f"--state={folder / 'state'}", "--listen=127.0.0.1:0", *more]


def misuse(capsys: pytest.CaptureFixture[str], given: list[str]) -> str:
    """The one sentence that a misuse is answered with."""
    assert main(given) == 2
    written = capsys.readouterr()
    assert written.out == ""
    (line,) = written.err.splitlines()
    assert line.startswith("forefill operator: ")
    return line.removeprefix("forefill operator: ")


def test_policies_need_an_address_to_listen_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = misuse(capsys, [f"--policies={folder / 'policies'}"])
    assert sentence == "--listen HOST:PORT is required with --policies"


@pytest.mark.parametrize("given", [[], ["--kubernetes", "--policies=policies"]], ids=["neither", "both"])
def test_one_source_of_policies_is_chosen(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    sentence = misuse(capsys, given)
    assert sentence == "give either --policies DIR (without a cluster) or --kubernetes"


@pytest.mark.parametrize("address", ["8080", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536", ":8080", "a:-1"])
def test_an_address_that_is_none_is_refused(address: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments(folder, f"--health={address}"))
    assert ended.value.code == 2
    assert f"{address!r} is not HOST:PORT with a port of 0 to 65535" in capsys.readouterr().err


def test_a_folder_that_does_not_exist_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = folder / "missing"
    assert misuse(capsys, arguments(folder, f"--policies={missing}")) == f"{missing}: is not a folder"


def test_a_file_in_place_of_the_folder_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "policies" / "llm.yaml"
    assert misuse(capsys, arguments(folder, f"--policies={file}")) == f"{file}: is not a folder"


def test_a_manifest_that_is_invalid_is_named_with_its_field(
    folder: Path, make_manifest: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "policies" / "llm.yaml"
    file.write_text(yaml.safe_dump(make_manifest({"spec.fillRate.min": 500})))
    sentence = misuse(capsys, arguments(folder))
    assert sentence == f"{file}: spec.fillRate.min: is 500, but must not be above max, which is 400"


def test_a_manifest_that_is_no_yaml_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "policies" / "llm.yaml"
    file.write_text("a: [\n")
    assert misuse(capsys, arguments(folder)).startswith(f"{file}: can't be read: ")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ": No such file or directory"),
        (b"one,web-0\n", " line 1: expected token,name,uid[,namespace[,workload]], found 2 fields"),
        (b"one,web-0,uid-0\n\xff\n", ": byte 16 is not UTF-8"),
    ],
    ids=["missing", "bad line", "not UTF-8"],
)
def test_a_token_file_that_cannot_be_used_is_named(
    content: bytes | None, words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "tokens.csv"
    if content is not None:
        file.write_bytes(content)
    assert misuse(capsys, arguments(folder, f"--tokens={file}")) == f"{file}{words}"


@pytest.mark.parametrize("given", ["--tls-cert=a.pem", "--tls-key=a.pem"])
def test_a_certificate_and_its_key_go_together(given: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert misuse(capsys, arguments(folder, given)) == "--tls-cert and --tls-key go together"


def test_a_certificate_that_does_not_exist_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = folder / "a.pem"
    sentence = misuse(capsys, arguments(folder, f"--tls-cert={missing}", f"--tls-key={missing}"))
    assert sentence == f"{missing}: No such file or directory"


def test_a_certificate_that_is_none_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    garbage = folder / "a.pem"
    garbage.write_text("garbage")
    sentence = misuse(capsys, arguments(folder, f"--tls-cert={garbage}", f"--tls-key={garbage}"))
    assert sentence == f"{garbage} and {garbage}: hold no certificate with its key"


@pytest.mark.parametrize("option", ["listen", "health"])
def test_a_port_that_is_taken_is_named(option: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        sentence = misuse(capsys, arguments(folder, f"--{option}=127.0.0.1:{port}"))
    assert sentence.startswith("can't listen: ")
    assert f"{port}" in sentence
    assert "address already in use" in sentence


def test_an_authority_that_cannot_be_read_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "state" / "ca.crt").write_text("garbage")
    sentence = misuse(capsys, arguments(folder))
    assert sentence == f"{folder / 'state'}: ca.crt and ca.key belong together, but one of them is missing"


def test_the_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    options = (
        "policies",
        "listen",
        "tokens",
        "state",
        "tls-cert",
        "tls-key",
        "kubernetes",
        "stream",
        "health",
        "lease",
    )
    assert [option for option in options if f"--{option}" not in text] == []
