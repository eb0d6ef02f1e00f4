import base64
import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from forefill_operator.kube import certificates, credentials
from forefill_operator.kube.credentials import BadCredentials

AUTHORITY = certificates.make_authority("ca", datetime.datetime.now(datetime.UTC))
PAIR = certificates.issue(AUTHORITY, ["admin"], datetime.datetime.now(datetime.UTC))


def data(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def kubeconfig(folder: Path, user: Any, cluster: Any | None = None) -> Path:
    path = folder / "config"
    told = {"server": "https://127.0.0.1:6443/", "certificate-authority-data": data(AUTHORITY.certificate)}
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "shop"}}],
                "clusters": [{"name": "k", "cluster": told if cluster is None else cluster}],
                "users": [{"name": "u", "user": user}],
            }
        )
    )
    return path


def test_a_token_file_is_read_again_for_each_call(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    found = credentials.from_kubeconfig(kubeconfig(tmp_path, {"tokenFile": "token"}))
    assert found.headers() == {"Authorization": "Bearer first"}
    (tmp_path / "token").write_text("second\n")
    assert found.headers() == {"Authorization": "Bearer second"}


def test_a_kubeconfig_names_server_and_namespace(tmp_path: Path) -> None:
    found = credentials.from_kubeconfig(kubeconfig(tmp_path, {"token": "mine"}))
    assert (found.server, found.namespace, found.headers()) == (
        "https://127.0.0.1:6443",
        "shop",
        {"Authorization": "Bearer mine"},
    )


def test_a_client_certificate_is_taken_and_not_left_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = {"client-certificate-data": data(PAIR.certificate), "client-key-data": data(PAIR.key)}
    path = kubeconfig(tmp_path, user)
    empty = tmp_path / "tmp"
    empty.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(empty))
    assert credentials.from_kubeconfig(path).headers() == {}
    assert list(empty.iterdir()) == []


def test_files_are_looked_for_beside_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(AUTHORITY.certificate)
    cluster = {"server": "https://127.0.0.1:6443", "certificate-authority": "ca.crt"}
    found = credentials.from_kubeconfig(kubeconfig(tmp_path, {}, cluster))
    assert [entry["subject"] for entry in found.context.get_ca_certs()] == [((("commonName", "ca"),),)]


@pytest.mark.parametrize(
    ("user", "cluster", "words"),
    [
        ({"exec": {"command": "aws"}}, None, "exec and auth-provider are not supported"),
        ({}, {"server": "https://x", "insecure-skip-tls-verify": True}, "insecure-skip-tls-verify is not supported"),
        ({}, {"certificate-authority-data": data(AUTHORITY.certificate)}, "is not a kubeconfig: 'server'"),
        ({}, {"server": "https://x", "certificate-authority": "gone"}, "can't be used"),
        ({"client-certificate-data": "!", "client-key-data": "!"}, None, "can't be used"),
    ],
)
def test_a_kubeconfig_that_can_not_be_used_is_told_in_a_sentence(
    user: Any, cluster: Any, words: str, tmp_path: Path
) -> None:
    path = kubeconfig(tmp_path, user, cluster)
    with pytest.raises(BadCredentials, match=str(path)) as caught:
        credentials.from_kubeconfig(path)
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "current-context: x", "{", "contexts: {}"])
def test_what_is_no_kubeconfig_is_told_in_a_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(BadCredentials, match=str(path)):
        credentials.from_kubeconfig(path)


def test_a_pod_uses_its_service_account(tmp_path: Path) -> None:
    for name, text in (("ca.crt", AUTHORITY.certificate.decode()), ("token", "mine\n"), ("namespace", "forefill")):
        (tmp_path / name).write_text(text)
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    found = credentials.find(environ, tmp_path)
    assert (found.server, found.namespace) == ("https://[fd00::1]:443", "forefill")
    assert found.headers() == {"Authorization": "Bearer mine"}


def test_a_pod_without_a_service_account_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(BadCredentials, match="service account can't be used"):
        credentials.find({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path)


def test_kubeconfig_wins_over_the_service_account(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, {"token": "mine"})
    found = credentials.find({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBECONFIG": str(path)}, tmp_path)
    assert found.server == "https://127.0.0.1:6443"
