"""Where loads come from: the file of --load-sources, which only the operator's administrator writes.

```yaml
default:                                # the name that a policy gives in load.source
  url: https://prometheus.monitoring.svc:9090
  namespaces: ["*"]                     # whose policies may ask it
  caFile: /etc/prometheus/ca.crt
  bearerTokenFile: /var/run/secrets/prometheus/token
```

A policy names a source and never gives an address, so that it can't make the operator ask anything else. Two names need
no entry and may have one to set them up: `machine` (without a cluster) with `networkBytesPerSecond`, and `kubernetes`
(on one) with the `namespaces` whose policies may ask about Services of others.
"""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
import yaml
from msgspec import Struct

_T = TypeVar("_T")

EVERYBODY = "*"


class InvalidSources(ValueError):
    """The file can't be used. The sentence names the file, the source and the field."""


class BasicAuth(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    username: str
    password_file: Path


class PrometheusSource(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A server that answers Prometheus's query API. `namespaces`: whose policies may ask it; `*` is everybody's."""

    url: str
    namespaces: Sequence[str]
    ca_file: Path | None = None
    bearer_token_file: Path | None = None
    basic_auth: BasicAuth | None = None
    headers: Mapping[str, str] = {}
    timeout_seconds: float = 5.0
    connections: int = 4

    def allows(self, namespace: str) -> bool:
        return EVERYBODY in self.namespaces or namespace in self.namespaces

    def files(self) -> Iterator[Path]:
        basic = self.basic_auth.password_file if self.basic_auth else None
        return (path for path in (self.ca_file, self.bearer_token_file, basic) if path)


class MachineSource(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The bandwidth of the machine, bytes/s each way."""

    network_bytes_per_second: float | None = None


class KubernetesSource(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Namespaces whose policies may ask about Services outside their own."""

    namespaces: Sequence[str] = ()


class Sources(Struct, frozen=True):
    """`prometheus` by name."""

    prometheus: Mapping[str, PrometheusSource] = {}
    machine: MachineSource = MachineSource()
    kubernetes: KubernetesSource = KubernetesSource()


def read_sources(path: Path | None) -> Sources:
    """Without a file there are only the sources that need no entry. Raises InvalidSources."""
    if path is None:
        return Sources()
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidSources(f"{path}: can't be read: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise InvalidSources(f"{path}: must be a mapping of names to sources, not {type(document).__name__}")
    names = {str(name): body for name, body in document.items()}
    machine = _converted(names.pop("machine", {}), MachineSource, f"{path}: machine")
    if machine.network_bytes_per_second is not None and not 1.0 <= machine.network_bytes_per_second <= 1e13:
        raise InvalidSources(f"{path}: machine.networkBytesPerSecond: must be from 1 to 1e13")
    kubernetes = _converted(names.pop("kubernetes", {}), KubernetesSource, f"{path}: kubernetes")
    return Sources({name: _prometheus(body, f"{path}: {name}") for name, body in names.items()}, machine, kubernetes)


def _prometheus(body: Any, where: str) -> PrometheusSource:
    source = _converted(body, PrometheusSource, where)
    for field, fault in _faults(source):
        raise InvalidSources(f"{where}.{field}: {fault}")
    return source


def _converted(body: Any, kind: type[_T], where: str) -> _T:
    try:
        return msgspec.convert(body, kind, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        message, _, field = str(error).partition(" - at `$")
        raise InvalidSources(f"{where}{field.rstrip('`')}: {message[:1].lower()}{message[1:]}") from None


def _path(kind: type, value: Any) -> Path:
    if kind is not Path or not isinstance(value, str):
        raise TypeError(f"expected the path of a file, got {value!r}")
    return Path(value)


def _faults(source: PrometheusSource) -> Iterator[tuple[str, str]]:
    yield from _url_faults(source)
    if source.bearer_token_file and source.basic_auth:
        yield "basicAuth", "can't go together with bearerTokenFile"
    if not 0.1 <= source.timeout_seconds <= 60.0:
        yield "timeoutSeconds", f"is {source.timeout_seconds:g}, but must be from 0.1 to 60"
    if not 1 <= source.connections <= 32:
        yield "connections", f"is {source.connections}, but must be from 1 to 32"
    for name, value in source.headers.items():
        if not name.isascii() or not name.isprintable() or not value.isascii() or not value.isprintable():
            yield "headers", f"{name!r} must be printable ASCII, name and value"
    for path in source.files():
        try:
            path.open("rb").close()
        except OSError as error:
            yield "files", f"{path}: {error.strerror}"


def _url_faults(source: PrometheusSource) -> Iterator[tuple[str, str]]:
    try:
        url = urlsplit(source.url)
        port, host = url.port, url.hostname
    except ValueError as error:
        yield "url", f"is {source.url!r}: {error}"
        return
    if url.scheme not in ("http", "https") or not host or port == 0:
        yield "url", f"is {source.url!r}, but must be http://HOST[:PORT][/PATH] or https://"
    elif url.username is not None or url.query or url.fragment:
        yield "url", "must carry no user, query or fragment; credentials go to bearerTokenFile or basicAuth"
    elif url.scheme == "http" and (source.bearer_token_file or source.basic_auth) and not _is_loopback(host):
        yield "url", "is http://, over which credentials would be sent in the clear; use https://"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
