from pathlib import Path

import pytest

from forefill_operator.load.sources import (
    BasicAuth,
    InvalidSources,
    KubernetesSource,
    MachineSource,
    PrometheusSource,
    Sources,
    read_sources,
)


def write(folder: Path, text: str) -> Path:
    path = folder / "sources.yaml"
    path.write_text(text.replace("FOLDER", str(folder)))
    return path


def test_sources_are_read_with_all_their_fields(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s\n")
    path = write(
        tmp_path,
        """
default:
  url: https://prometheus.monitoring.svc:9090/prometheus
  namespaces: ["*"]
  caFile: FOLDER/secret
  bearerTokenFile: FOLDER/secret
  headers: {X-Scope-OrgID: ai}
  timeoutSeconds: 2
local:
  url: http://127.0.0.1:9090
  namespaces: [ai, shop]
  basicAuth: {username: u, passwordFile: FOLDER/secret}
machine: {networkBytesPerSecond: 125e6}
kubernetes: {namespaces: [ai]}
""",
    )
    secret = tmp_path / "secret"
    assert read_sources(path) == Sources(
        {
            "default": PrometheusSource(
                "https://prometheus.monitoring.svc:9090/prometheus",
                ["*"],
                ca_file=secret,
                bearer_token_file=secret,
                headers={"X-Scope-OrgID": "ai"},
                timeout_seconds=2.0,
            ),
            "local": PrometheusSource("http://127.0.0.1:9090", ["ai", "shop"], basic_auth=BasicAuth("u", secret)),
        },
        MachineSource(125e6),
        KubernetesSource(["ai"]),
    )


@pytest.mark.parametrize(
    ("namespaces", "allowed"), [(["*"], True), (["ai"], True), (["shop", "ai"], True), (["shop"], False), ([], False)]
)
def test_a_source_is_for_the_namespaces_that_it_names(namespaces: list[str], allowed: bool) -> None:
    assert PrometheusSource("http://127.0.0.1:9090", namespaces).allows("ai") is allowed


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[]", "must be a mapping of names to sources, not list"),
        ("a: [", "can't be read: while parsing a flow node expected the node content, but found '<stream end>'"),
        ("a: {namespaces: []}", "a: object missing required field `url`"),
        ("a: {url: 'http://p', namespaces: [], bearer: x}", "a: object contains unknown field `bearer`"),
        ("a: {url: 'http://p', namespaces: [], timeoutSeconds: soon}", "a.timeoutSeconds: expected `float`, got `str`"),
        ("a: {url: 'http://p', namespaces: [], timeoutSeconds: .nan}",
         "a.timeoutSeconds: is nan, but must be from 0.1 to 60"),
        ("a: {url: 'http://p', namespaces: [], connections: 0}", "a.connections: is 0, but must be from 1 to 32"),
        ("a: {url: 'ftp://p', namespaces: []}", "a.url: is 'ftp://p', but must be http://HOST[:PORT][/PATH] or https://"),
        ("a: {url: 'http://p:0', namespaces: []}", "a.url: is 'http://p:0', but must be http://HOST[:PORT][/PATH] or https://"),
        ("a: {url: 'http://u:p@p', namespaces: []}",
         "a.url: must carry no user, query or fragment; credentials go to bearerTokenFile or basicAuth"),
        ("a: {url: 'http://p', namespaces: [], bearerTokenFile: FOLDER/sources.yaml}",
         "a.url: is http://, over which credentials would be sent in the clear; use https://"),
        ("a: {url: 'https://p', namespaces: [], caFile: FOLDER/none}",
         "a.files: FOLDER/none: No such file or directory"),
        ("a: {url: 'http://p', namespaces: [], headers: {a: \"b\\r\\nc: d\"}}",
         "a.headers: 'a' must be printable ASCII, name and value"),
        ("machine: {networkBytesPerSecond: 0}", "machine.networkBytesPerSecond: must be from 1 to 1e13"),
        ("kubernetes: {url: x}", "kubernetes: object contains unknown field `url`"),
    ],
)  # fmt: skip
def test_a_file_that_can_t_be_used_is_told_in_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InvalidSources) as raised:
        read_sources(path)
    assert str(raised.value).startswith(f"{path}: {sentence}".replace("FOLDER", str(tmp_path)))


def test_a_file_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidSources, match=r"none.yaml: can't be read: .*No such file"):
        read_sources(tmp_path / "none.yaml")
