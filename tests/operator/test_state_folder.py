import datetime
import ssl
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from forefill_operator.kube.certificates import BadPair
from forefill_operator.policy import TokenPolicy
from forefill_operator.state_folder import Served, ensure_certificate

NOW = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)
HOSTS = ("localhost", "127.0.0.1")
Make = Callable[..., TokenPolicy]


def test_a_certificate_is_made_once_and_can_be_served(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "state"
    certificate, key = ensure_certificate(folder, HOSTS, NOW)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert first.keys() == {"ca.crt", "ca.key", "serving.crt", "serving.key"}
    ensure_certificate(folder, HOSTS, NOW)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def test_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    ensure_certificate(folder, HOSTS, NOW)
    assert [stat.S_IMODE((folder / name).stat().st_mode) for name in ("ca.key", "serving.key")] == [0o600, 0o600]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("later", [datetime.timedelta(days=3650), datetime.timedelta(days=360)])
def test_a_certificate_that_ends_is_renewed_under_the_same_authority(later: datetime.timedelta, tmp_path: Path) -> None:
    certificate, _ = ensure_certificate(tmp_path, HOSTS, NOW)
    before, authority = certificate.read_bytes(), (tmp_path / "ca.crt").read_bytes()
    ensure_certificate(tmp_path, HOSTS, NOW + later)
    assert certificate.read_bytes() != before
    assert (tmp_path / "ca.crt").read_bytes() == authority


def test_a_certificate_for_other_hosts_is_made_anew(tmp_path: Path) -> None:
    certificate, _ = ensure_certificate(tmp_path, HOSTS, NOW)
    before = certificate.read_bytes()
    ensure_certificate(tmp_path, (*HOSTS, "::1"), NOW)
    assert certificate.read_bytes() != before


@pytest.mark.parametrize("missing", ["ca.crt", "ca.key", "serving.key"])
def test_half_a_pair_is_refused_with_a_sentence(missing: str, tmp_path: Path) -> None:
    ensure_certificate(tmp_path, HOSTS, NOW)
    (tmp_path / missing).unlink()
    with pytest.raises(BadPair, match=r"belong together, but one of them is missing"):
        ensure_certificate(tmp_path, HOSTS, NOW)


def test_an_authority_that_cannot_be_read_is_not_replaced(tmp_path: Path) -> None:
    ensure_certificate(tmp_path, HOSTS, NOW)
    (tmp_path / "ca.crt").write_text("garbage")
    with pytest.raises(BadPair):
        ensure_certificate(tmp_path, HOSTS, NOW)
    assert (tmp_path / "ca.crt").read_text() == "garbage"


def test_a_policy_is_new_only_once(tmp_path: Path, make_policy: Make) -> None:
    policy, other = make_policy(), make_policy(metadata__uid="other")
    served = Served(tmp_path / "state" / "served")
    assert [served.is_new(each) for each in (policy, policy, other)] == [True, False, True]
    assert [Served(served.path).is_new(each) for each in (policy, other)] == [False, False]


@pytest.mark.parametrize("fault", ["a folder", "not UTF-8", "beneath a file"])
def test_a_policy_counts_as_served_when_the_disk_cannot_say(
    fault: str, tmp_path: Path, make_policy: Make, caplog: pytest.LogCaptureFixture
) -> None:
    served = Served(tmp_path / "served")
    if fault == "a folder":
        served.path.mkdir()
    elif fault == "not UTF-8":
        served.path.write_bytes(b"\xff")
    else:
        served.path.touch()
        served = Served(served.path / "served")
    assert served.is_new(make_policy()) is False
    assert "nobody can say whether ai/llm was served before" in caplog.text
