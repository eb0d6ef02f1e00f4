"""Which authorities the operator is known by: those that were injected, until an assignment brings newer ones.

What came last is kept in a file beside the last assignments, so that a restarted container knows it, too.
"""

import logging
import os
import ssl
from pathlib import Path

from forefill_protocol import bundle

FILE = "ca.crt"

_log = logging.getLogger("forefill.reporter")


def context(pem: str) -> ssl.SSLContext:
    """TLS 1.3 that trusts only the given bundle. Raises ValueError when the bundle holds no certificate."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        made.load_verify_locations(cadata=pem)
    except ssl.SSLError as error:
        raise ValueError(f"the CA bundle can't be read: {error}") from None
    return made


class Authorities:
    """`context` is for the next connection. Without a folder newer authorities are forgotten with the process."""

    def __init__(self, injected: str, folder: Path | None) -> None:
        self._path = folder / FILE if folder else None
        self.context = context(injected)
        self.fingerprint = bundle.fingerprint(injected)
        if kept := self._kept():
            self._use(kept)

    def take(self, pem: str) -> None:
        """Trust these from the next connection on. What can't be read changes nothing; a full disk is logged."""
        if bundle.fingerprint(pem) == self.fingerprint:
            return
        if self._use(pem) and self._path is not None:
            try:
                self._path.with_suffix(".new").write_text(pem, encoding="ascii")
                os.replace(self._path.with_suffix(".new"), self._path)
            except OSError as error:
                _log.warning("the operator's new authorities could not be kept: %s", error)

    def _use(self, pem: str) -> bool:
        try:
            self.context = context(pem)
        except ValueError as error:
            _log.warning("new authorities of the operator are not taken: %s", error)
            return False
        self.fingerprint = bundle.fingerprint(pem)
        return True

    def _kept(self) -> str:
        if self._path is None or not self._path.exists():
            return ""
        try:
            return self._path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            _log.warning("%s can't be read and is ignored: %s", self._path, error)
            return ""
