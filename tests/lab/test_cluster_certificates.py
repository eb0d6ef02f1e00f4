from __future__ import annotations

import datetime
import ipaddress
import stat
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import verification
from cryptography.x509.oid import NameOID

from forefill_lab.cluster import certificates
from forefill_lab.cluster.certificates import Subject

NOW = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)


def test_a_server_is_trusted_under_each_of_its_hosts() -> None:
    ca = certificates.authority("test", NOW)
    server = certificates.issue(ca, Subject("server", hosts=("api.svc", "10.96.0.1")), NOW)
    builder = verification.PolicyBuilder().store(verification.Store([ca.certificate])).time(NOW)
    for host in (x509.DNSName("api.svc"), x509.IPAddress(ipaddress.ip_address("10.96.0.1"))):
        chain = builder.build_server_verifier(host).verify(server.certificate, [])
        assert chain == [server.certificate, ca.certificate]


def test_user_and_group_are_common_name_and_organization() -> None:
    ca = certificates.authority("test", NOW)
    subject = certificates.issue(ca, Subject("admin", "system:masters"), NOW).certificate.subject
    values = {attribute.oid: attribute.value for attribute in subject}
    assert values == {NameOID.COMMON_NAME: "admin", NameOID.ORGANIZATION_NAME: "system:masters"}


def test_a_certificate_is_valid_before_clocks_agree_and_for_a_year() -> None:
    pair = certificates.authority("test", NOW)
    assert pair.certificate.not_valid_before_utc == NOW - certificates.BACKDATED
    assert pair.certificate.not_valid_after_utc == NOW + certificates.VALID


def test_only_the_owner_reads_a_written_key(tmp_path: Path) -> None:
    pair = certificates.authority("test", NOW)
    pair.write(tmp_path, "ca")
    key = serialization.load_pem_private_key((tmp_path / "ca.key").read_bytes(), password=None)
    certificate = x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes())
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600
    assert key.public_key() == certificate.public_key()


def test_the_published_half_of_a_key_belongs_to_it() -> None:
    key = certificates.new_key()
    assert serialization.load_pem_public_key(certificates.public_pem(key)) == key.public_key()
