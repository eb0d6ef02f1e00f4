"""TLS contexts whose certificate may change while they serve."""

import os
import ssl
import tempfile
from pathlib import Path


def server_context() -> ssl.SSLContext:
    """TLS 1.3 and nothing older; give it a pair before it serves.

    No session tickets: a stream lives for hours, and those of an operator that has ended are worth nothing.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    return context


def load_pair(context: ssl.SSLContext, certificate_pem: bytes, key_pem: bytes) -> None:
    """New connections are served with this pair; open ones keep theirs. Raises ssl.SSLError.

    The ssl module takes a pair from files only: one exists, readable by this user alone, while it does.
    """
    descriptor, name = tempfile.mkstemp()
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate_pem + b"\n" + key_pem)
        _load(context, name, None)
    finally:
        os.unlink(name)


def _load(context: ssl.SSLContext, certificate: Path | str, key: Path | None) -> None:
    """A context that was given a certificate with another one's key is left with neither: try it elsewhere first."""
    server_context().load_cert_chain(certificate, key)
    context.load_cert_chain(certificate, key)


class MountedPair:
    """tls.crt, tls.key and ca.crt of a mounted Secret, followed into one context. The kubelet replaces all at once."""

    def __init__(self, folder: Path) -> None:
        self.context = server_context()
        self.ca_bundle = ""
        self._folder = folder
        self._loaded: tuple[bytes, ...] = ()

    def refresh(self) -> bool:
        """Take the files if they changed; whether they did. Raises OSError or ssl.SSLError and keeps what it has."""
        contents = tuple((self._folder / name).read_bytes() for name in ("tls.crt", "tls.key", "ca.crt"))
        if contents == self._loaded:
            return False
        ca_bundle = contents[2].decode("ascii", errors="replace")
        _load(self.context, self._folder / "tls.crt", self._folder / "tls.key")
        self.ca_bundle, self._loaded = ca_bundle, contents
        return True
