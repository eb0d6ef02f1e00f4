import asyncio
import datetime
import ssl
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forefill_operator.kube import certificates, tls
from forefill_operator.kube.certificates import BadPair, Pair

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
HOSTS = ["forefill-operator.forefill.svc", "127.0.0.1"]
AUTHORITY = certificates.make_authority("forefill-ca.forefill", NOW)
Trusting = Callable[[bytes], ssl.SSLContext]


async def handshake(pair: Pair, client: ssl.SSLContext, host: str) -> str | None:
    """The TLS version that a real client and a server with `pair` agree on."""
    context = tls.server_context()
    tls.load_pair(context, pair.certificate, pair.key)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    try:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=host)
        version: str = writer.get_extra_info("ssl_object").version()
        writer.close()
        return version
    finally:
        server.close()


@pytest.mark.parametrize("host", HOSTS)
async def test_a_client_that_trusts_the_authority_speaks_tls_1_3_with_the_server(host: str, trusting: Trusting) -> None:
    pair = certificates.issue(AUTHORITY, HOSTS, NOW)
    assert await handshake(pair, trusting(AUTHORITY.certificate), host) == "TLSv1.3"


async def test_a_name_that_is_not_in_the_certificate_is_not_trusted(trusting: Trusting) -> None:
    pair = certificates.issue(AUTHORITY, HOSTS, NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        await handshake(pair, trusting(AUTHORITY.certificate), "forefill-injector.forefill.svc")


async def test_another_authority_of_the_same_name_is_not_trusted(trusting: Trusting) -> None:
    pair = certificates.issue(AUTHORITY, HOSTS, NOW)
    other = certificates.make_authority("forefill-ca.forefill", NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        await handshake(pair, trusting(other.certificate), HOSTS[0])


async def test_a_serving_certificate_can_not_sign_others(trusting: Trusting) -> None:
    serving = certificates.issue(AUTHORITY, HOSTS, NOW)
    forged = certificates.issue(serving, HOSTS, NOW)
    chain = Pair(forged.certificate + serving.certificate, forged.key)
    with pytest.raises(ssl.SSLCertVerificationError):
        await handshake(chain, trusting(AUTHORITY.certificate), HOSTS[0])


async def test_tls_1_2_is_refused(trusting: Trusting) -> None:
    client = trusting(AUTHORITY.certificate)
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await handshake(certificates.issue(AUTHORITY, HOSTS, NOW), client, HOSTS[0])


async def test_the_strictest_checks_pass(trusting: Trusting) -> None:
    client = trusting(AUTHORITY.certificate)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    assert await handshake(certificates.issue(AUTHORITY, HOSTS, NOW), client, HOSTS[0]) == "TLSv1.3"


def test_a_serving_certificate_is_renewed_after_two_thirds_of_its_life() -> None:
    pair = certificates.issue(AUTHORITY, HOSTS, NOW)
    assert certificates.serves(pair, AUTHORITY, HOSTS, NOW + 59 * DAY)
    assert not certificates.serves(pair, AUTHORITY, HOSTS, NOW + 61 * DAY)


def test_a_serving_certificate_of_other_names_or_authority_does_not_serve() -> None:
    pair = certificates.issue(AUTHORITY, HOSTS, NOW)
    assert not certificates.serves(pair, AUTHORITY, [*HOSTS, "more.svc"], NOW)
    assert not certificates.serves(pair, certificates.make_authority("forefill-ca.forefill", NOW), HOSTS, NOW)


def test_no_certificate_outlives_its_authority() -> None:
    late = NOW + certificates.AUTHORITY_LIFE - 10 * DAY
    leaf, _ = certificates.read(certificates.issue(AUTHORITY, HOSTS, late))
    authority, _ = certificates.read(AUTHORITY)
    assert leaf.not_valid_after_utc == authority.not_valid_after_utc


@given(st.binary(max_size=200))
def test_garbage_never_serves(garbage: bytes) -> None:
    assert not certificates.serves(Pair(garbage, garbage), AUTHORITY, HOSTS, NOW)


def test_a_key_of_another_certificate_is_refused() -> None:
    other = certificates.make_authority("other", NOW)
    with pytest.raises(BadPair, match="not the certificate's"):
        certificates.read(Pair(AUTHORITY.certificate, other.key))
