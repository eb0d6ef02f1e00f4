"""What the operator's stream serves with, and what sidecars are to trust: certificates of its own, or mounted ones.

Both change while streams are open: a context serves new connections with what was loaded last, open ones go on.
"""

import datetime
import logging
import ssl
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from msgspec import Struct

from forefill_operator.kube import authorities, certificate_store, certificates, tls
from forefill_operator.kube.api import Api
from forefill_operator.kube.certificate_store import Issued, Names
from forefill_operator.kube.certificates import Pair

# How long mounted certificates of a new authority wait at least, so that every sidecar's next acknowledgement names it.
MOUNTED_OVERLAP = datetime.timedelta(minutes=1)

_log = logging.getLogger("forefill.certificates")


class Serving(Protocol):
    context: ssl.SSLContext
    ca_bundle: str

    async def refresh(self, lagging: int | None, now: datetime.datetime) -> None:
        """Look after it, once a minute. `lagging` sidecars have not named the bundle; None while nobody can say.

        Raises ApiError, BrokenSecret, OSError (ssl.SSLError among them) or ValueError, and keeps what it has.
        """


class OwnAuthority:
    """Certificates by an authority that the operator keeps in a Secret."""

    def __init__(self, client: Api, names: Names) -> None:
        self.context = tls.server_context()
        self.ca_bundle = ""
        self._client = client
        self._names = names
        self._issued: Issued | None = None

    async def refresh(self, lagging: int | None, now: datetime.datetime) -> None:
        issued = await certificate_store.ensure(self._client, self._names, self._issued, now, lagging)
        if self._issued is None or issued.serving != self._issued.serving:
            tls.load_pair(self.context, issued.serving.certificate, issued.serving.key)
        self._issued, self.ca_bundle = issued, issued.ca_bundle


class Files(Struct, frozen=True):
    """tls.crt with tls.key, and ca.crt, as somebody else mounts them."""

    pair: Pair
    ca: bytes


class MountedAuthority:
    """Certificates that somebody else, such as cert-manager, puts into a mounted Secret.

    A pair of an authority that sidecars do not trust yet waits until they do, or until the served one has nearly ended.
    The old authority stays in the bundle until the process ends.
    """

    def __init__(self, folder: Path) -> None:
        self.context = tls.server_context()
        self.ca_bundle = ""
        self._folder = folder
        self._served: Files | None = None
        self._newest: Files | None = None
        self._since: datetime.datetime | None = None

    async def refresh(self, lagging: int | None, now: datetime.datetime) -> None:
        crt, key, ca = ((self._folder / name).read_bytes() for name in ("tls.crt", "tls.key", "ca.crt"))
        found = Files(Pair(crt, key), ca)
        if found != self._newest:
            bundle = authorities.bundle_of([ca, self.ca_bundle.encode()])
            self._newest, self._since, self.ca_bundle = found, now, bundle
        if found != self._served and self._may_serve(found, lagging, now):
            tls.load_pair(self.context, crt, key)
            self._served = found
            _log.info("serving with the certificate in %s", self._folder)

    def _may_serve(self, found: Files, lagging: int | None, now: datetime.datetime) -> bool:
        served = self._served
        if served is None or _is_issued_by(found.pair.certificate, served.ca):
            return True
        waited = self._since is not None and now - self._since >= MOUNTED_OVERLAP
        return (waited and lagging == 0) or certificates.has_nearly_ended(
            x509.load_pem_x509_certificate(served.pair.certificate), now
        )


def _is_issued_by(certificate: bytes, bundle: bytes) -> bool:
    leaf = x509.load_pem_x509_certificate(certificate)
    for authority in x509.load_pem_x509_certificates(bundle):
        try:
            leaf.verify_directly_issued_by(authority)
        except (InvalidSignature, ValueError, TypeError):
            continue
        return True
    return False
