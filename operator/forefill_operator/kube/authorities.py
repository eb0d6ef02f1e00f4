"""One authority after another without a gap: when the next is made, trusted, used, and the last one let go. Pure.

Whoever trusts the bundle trusts both authorities of a change, so nobody sees the moment at which the next one begins to
sign. It begins when every live sidecar has named the bundle with both, or when the old one has nearly ended.
"""

import datetime
from collections.abc import Iterable
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from msgspec import Struct
from msgspec.structs import replace

from forefill_operator.kube import certificates
from forefill_operator.kube.certificates import Pair

# The injector has the bundle by then: the kubelet brings a changed Secret into a pod within two minutes or so.
OVERLAP = datetime.timedelta(minutes=10)
# How long the last authority stays trusted after it stopped to sign.
RETIREMENT = datetime.timedelta(days=1)

# What a person may ask for: a new authority, or one that does not wait for sidecars that do not answer.
Wish = Literal["", "now", "force"]


class Authorities(Struct, frozen=True):
    """`active` signs, `following` will. `since` is when `following` or `previous` got its place."""

    active: Pair
    following: Pair | None = None
    previous: bytes = b""
    since: datetime.datetime | None = None

    @property
    def bundle(self) -> str:
        """PEM of all that is to be trusted, in an order of its own: the same before and after the change."""
        pairs = [self.active] + ([self.following] if self.following else [])
        return bundle_of([*(pair.certificate for pair in pairs), self.previous])


def advanced(held: Authorities, lagging: int | None, wish: Wish, now: datetime.datetime) -> Authorities:
    """The next state, or this one. `lagging` sidecars have not named the bundle; None while nobody can say."""
    if held.following is None:
        return _began(held, now) if wish or _is_due(held.active, now) else _retired(held, now)
    waited = held.since is None or now - held.since >= OVERLAP
    if waited and (
        lagging == 0 or wish == "force" or certificates.has_nearly_ended(certificates.read(held.active)[0], now)
    ):
        return Authorities(active=held.following, previous=held.active.certificate, since=now)
    return held


def _began(held: Authorities, now: datetime.datetime) -> Authorities:
    name = certificates.read(held.active)[0].subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    return replace(held, following=certificates.make_authority(str(name), now), since=now)


def _retired(held: Authorities, now: datetime.datetime) -> Authorities:
    if held.previous and (held.since is None or now - held.since >= RETIREMENT):
        return Authorities(active=held.active)
    return held


def _is_due(pair: Pair, now: datetime.datetime) -> bool:
    return now >= certificates.renewal(certificates.read(pair)[0])


def bundle_of(pems: Iterable[bytes]) -> str:
    """Every certificate in these texts, once, in a fixed order. Raises ValueError for what is no certificate."""
    found = {
        certificate.public_bytes(serialization.Encoding.PEM)
        for pem in pems
        if pem.strip()
        for certificate in x509.load_pem_x509_certificates(pem)
    }
    return b"".join(sorted(found)).decode()
