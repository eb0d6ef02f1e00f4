"""How a store is named: one URL, and files for what is secret. Pure but for `password_in`."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec import Struct

SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
DEFAULT_PORTS = {"": 6379, "cluster": 6379, "sentinel": 26379}


class BadStoreUrl(ValueError):
    """The URL names no store; the sentence says what is allowed."""


class StoreAddress(Struct, frozen=True):
    """`kind` is "" for one server, "sentinel" or "cluster"; `service` is Sentinel's name of the primary."""

    kind: str
    tls: bool
    hosts: Sequence[tuple[str, int]]
    database: int = 0
    service: str = ""
    user: str = ""

    def __str__(self) -> str:
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts)
        return f"{'rediss' if self.tls else 'redis'}{'+' if self.kind else ''}{self.kind}://{hosts}"


def parse(url: str) -> StoreAddress:
    """redis[s][+sentinel|+cluster]://[USER@]HOST[:PORT][,HOST[:PORT]…][/DATABASE or /SERVICE]. Raises BadStoreUrl.

    A password in the URL would be seen by everybody who lists processes: it is refused.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise BadStoreUrl(f"the store's URL begins with {parts.scheme or url!r}; allowed are {', '.join(SCHEMES)}")
    user, at, hosts = parts.netloc.rpartition("@")
    if ":" in user:
        raise BadStoreUrl("the store's URL holds a password; give it with --store-password-file")
    base, _, kind = parts.scheme.partition("+")
    path = parts.path.strip("/")
    address = StoreAddress(
        kind=kind,
        tls=base == "rediss",
        hosts=[_host(host, DEFAULT_PORTS[kind]) for host in hosts.split(",")],
        database=_database(path) if kind == "" else 0,
        service=path if kind == "sentinel" else "",
        user=unquote(user) if at else "",
    )
    if kind == "sentinel" and not path:
        raise BadStoreUrl("the store's URL names no Sentinel service; it ends with /SERVICE")
    if kind == "" and len(address.hosts) > 1:
        raise BadStoreUrl("several hosts need redis+sentinel:// or redis+cluster://")
    return address


def password_in(file: Path | None) -> str:
    """Raises OSError."""
    return file.read_text().strip() if file else ""


def _host(text: str, default_port: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, port = text, str(default_port)
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise BadStoreUrl(f"the store's URL holds {text!r}, which is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _database(path: str) -> int:
    if path and not (path.isascii() and path.isdigit()):
        raise BadStoreUrl(f"the store's URL ends with {path!r}; a database is a number")
    return int(path or 0)
