"""Connections to upstreams over TLS, and to names whose addresses change."""

import asyncio
import datetime
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from forefill_sidecar.bucket import TokenBucket
from forefill_sidecar.gate import Gate
from forefill_sidecar.meter import Meter
from forefill_sidecar.proxy.listener import Listener

GET = b"GET /a HTTP/1.1\r\nHost: me\r\n\r\n"
LAST_GET = b"GET /a HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n"


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, str]:
    """A server's context with a certificate for that DNS name, and the PEM that vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = signed.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(pem + secret)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")
    return context, pem.decode()


@asynccontextmanager
async def tls_upstream(net: Any, context: ssl.SSLContext, names: list[str | None]) -> AsyncIterator[int]:
    """The port of an upstream that notes the server names it was asked for."""
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    server = await asyncio.start_server(net.answering(net.OK), "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_an_https_upstream_is_verified_against_the_bundle_and_told_its_name(net: Any, tmp_path: Path) -> None:
    context, pem = certificate(tmp_path, "localhost")
    names: list[str | None] = []
    async with tls_upstream(net, context, names) as port:
        listener = net.pod_listener(f"https://localhost:{port}", ca_bundle=pem)
        async with net.listening(listener) as proxy, net.connected(proxy.port) as (reader, writer):
            for _ in range(2):
                writer.write(GET)
                assert await reader.readexactly(len(net.OK)) == net.OK

    assert names == ["localhost"]


@pytest.mark.parametrize(
    ("name", "is_trusted", "reason"),
    [("localhost", False, b"self-signed certificate"), ("elsewhere", True, b"Hostname mismatch")],
)
async def test_an_upstream_that_cannot_prove_its_name_gets_no_request(
    net: Any, tmp_path: Path, name: str, is_trusted: bool, reason: bytes
) -> None:
    context, pem = certificate(tmp_path, name)
    async with tls_upstream(net, context, []) as port:
        listener = net.pod_listener(f"https://localhost:{port}", ca_bundle=pem if is_trusted else "")
        async with net.listening(listener) as proxy:
            data = await net.exchanged(proxy.port, LAST_GET)

    assert data.startswith(b"HTTP/1.1 502 ")
    assert b"its certificate isn't trusted" in data
    assert reason in data


async def test_a_name_that_moves_takes_its_connections_with_it(net: Any) -> None:
    addresses = ["127.0.0.1"]

    async def resolve(_host: str, _port: int) -> list[str]:
        return list(addresses)

    async def name_itself(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own = writer.get_extra_info("sockname")[0].encode()
        while True:
            await net.read_head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(own), own))

    first = await asyncio.start_server(name_itself, "127.0.0.1", 0)
    port = first.sockets[0].getsockname()[1]
    second = await asyncio.start_server(name_itself, "127.0.0.2", port)
    settings = net.pod_listener(f"http://moving.example:{port}")
    now = time.monotonic()
    meter = Meter(now)
    gate = Gate(TokenBucket(1e3, 1e3, 1e3, now), settings.settings, "Enforce", meter)
    limits = net.Limits(resolve_seconds=0.05)
    listener = Listener(settings, gate, meter, limits=limits, resolve=resolve)
    listener.port = 0
    await listener.start()

    async def answered_by() -> bytes:
        answer: bytes = await net.exchanged(listener.port, LAST_GET)
        return answer.rpartition(b"\r\n\r\n")[2]

    assert [await answered_by() for _ in range(3)] == [b"127.0.0.1"] * 3
    addresses[:] = ["127.0.0.2"]
    async with asyncio.timeout(5):
        while await answered_by() != b"127.0.0.2":
            pass
    assert [await answered_by() for _ in range(3)] == [b"127.0.0.2"] * 3
    await listener.close()
    first.close()
    second.close()


async def test_a_name_without_an_address_is_a_502(net: Any) -> None:
    async with net.listening(net.pod_listener("http://nobody.invalid:80")) as proxy:
        data = await net.exchanged(proxy.port, LAST_GET)

    assert data.startswith(b"HTTP/1.1 502 ")
    assert b"its name can't be resolved" in data


async def test_the_next_address_is_tried_when_one_does_not_answer(net: Any) -> None:
    async with net.upstream_of(net.answering(net.OK)) as upstream:
        settings = net.pod_listener(upstream.url.replace("127.0.0.1", "two.example"))

        async def resolve(_host: str, _port: int) -> list[str]:
            return ["127.0.0.3", "127.0.0.1"]

        now = time.monotonic()
        meter = Meter(now)
        gate = Gate(TokenBucket(1e3, 1e3, 1e3, now), settings.settings, "Enforce", meter)
        listener = Listener(settings, gate, meter, resolve=resolve)
        listener.port = 0
        await listener.start()
        answers = [await net.exchanged(listener.port, LAST_GET) for _ in range(4)]
        await listener.close()

    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
