"""The upstream a listener sends to, read from its URL. Pure."""

import re
from dataclasses import dataclass

_URL = re.compile(r"(https?)://(?:\[([0-9A-Fa-f:.]+)\]|([0-9A-Za-z._-]+))(?::([0-9]{1,5}))?(/[^\s?#]*)?")


@dataclass(frozen=True, slots=True)
class Address:
    """Where requests go. `authority` is sent as Host, `base_path` (without a slash at its end) precedes each target."""

    is_tls: bool
    host: str
    port: int
    authority: bytes
    base_path: bytes


def parse(url: str) -> Address:
    """Raises ValueError with a sentence."""
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(f"the upstream {url!r} is no URL of the form http://HOST[:PORT][/PATH] (or https)")
    scheme, bracketed, plain, port_digits, path = match.groups()
    port = int(port_digits) if port_digits else (443 if scheme == "https" else 80)
    if not 1 <= port <= 65535:
        raise ValueError(f"the upstream {url!r} has port {port}; allowed are 1 to 65535")
    host = f"[{bracketed}]" if bracketed else plain
    return Address(
        is_tls=scheme == "https",
        host=bracketed or plain,
        port=port,
        authority=(f"{host}:{port_digits}" if port_digits else host).encode(),
        base_path=(path or "").rstrip("/").encode(),
    )


def outside_peer(peername: tuple[str, int] | None) -> str | None:
    """A client's address unless it is on this machine."""
    if not peername or peername[0].startswith("127.") or peername[0] == "::1":
        return None
    return peername[0]
