"""Certificates as values: an authority of our own and what it signs. Wall-clock times in, PEM out."""

import datetime
import ipaddress
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

AUTHORITY_LIFE = datetime.timedelta(days=3650)
SERVING_LIFE = datetime.timedelta(days=90)
# Clocks of nodes differ, and are set back: a certificate is valid from before it was made.
_SKEW = datetime.timedelta(days=1)
_DIGITAL_SIGNATURE, _CERTIFICATE_SIGNING = "digital_signature", "key_cert_sign"


class Pair(Struct, frozen=True):
    """A certificate and its private key, PEM."""

    certificate: bytes
    key: bytes


class BadPair(ValueError):
    """The PEM is not a certificate with its key."""


def make_authority(name: str, now: datetime.datetime) -> Pair:
    """A self-signed authority that may sign serving certificates and no other authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    builder = (
        _builder(subject, subject, key.public_key(), now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(_CERTIFICATE_SIGNING, "crl_sign"), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _pair(builder.sign(key, hashes.SHA256()), key)


def issue(authority: Pair, hosts: Sequence[str], now: datetime.datetime) -> Pair:
    """A serving certificate for DNS names and IP addresses, never valid for longer than its authority."""
    signer, signing_key = read(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    life = min(SERVING_LIFE, signer.not_valid_after_utc - now)
    alternative_names = x509.SubjectAlternativeName([_host(host) for host in hosts])
    builder = (
        _builder(_name(hosts[0]), signer.subject, key.public_key(), now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(_DIGITAL_SIGNATURE), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(alternative_names, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
    )
    return _pair(builder.sign(signing_key, hashes.SHA256()), key)


def serves(pair: Pair, authority: Pair, hosts: Sequence[str], now: datetime.datetime) -> bool:
    """Whether `pair` is this authority's, for exactly these hosts, and before two thirds of its life."""
    try:
        certificate, _ = read(pair)
        certificate.verify_directly_issued_by(read(authority)[0])
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (BadPair, InvalidSignature, x509.ExtensionNotFound, ValueError, TypeError):
        return False
    return list(names) == [_host(host) for host in hosts] and now < renewal(certificate)


def renewal(certificate: x509.Certificate) -> datetime.datetime:
    """When two thirds of its life are over."""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return start + (end - start) * 2 / 3


def has_nearly_ended(certificate: x509.Certificate, now: datetime.datetime) -> bool:
    """At most a twelfth of its life is left."""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now >= end - (end - start) / 12


def read(pair: Pair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Raises BadPair, also when the key is another certificate's."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, password=None)
    except (ValueError, TypeError):
        raise BadPair("tls.crt and tls.key are not PEM of a certificate and its key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        raise BadPair("the private key is not the certificate's")
    return certificate, key


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    life: datetime.timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + life)
    )


def _usage(*granted: str) -> x509.KeyUsage:
    usages = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{usage: usage in granted for usage in usages})


def _name(text: str) -> x509.Name:
    # A common name holds at most 64 characters; who verifies reads the alternative names.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), private)
