import datetime
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from forefill_operator.kube import certificates
from forefill_operator.kube.certificates import Pair
from forefill_operator.kube.serving import MOUNTED_OVERLAP, MountedAuthority

NOW = datetime.datetime.now(datetime.UTC)
FIRST, SECOND = (certificates.make_authority(name, NOW) for name in ("first", "second"))


def mount(folder: Path, authority: Pair, pair: Pair | None = None) -> Pair:
    """As the kubelet does, but for the atomic change."""
    pair = pair or certificates.issue(authority, ["localhost"], NOW)
    for name, content in (("tls.crt", pair.certificate), ("tls.key", pair.key), ("ca.crt", authority.certificate)):
        (folder / name).write_bytes(content)
    return pair


def served(context: ssl.SSLContext, trusting: Callable[[bytes], ssl.SSLContext]) -> bytes:
    """The certificate that a new connection gets, in DER."""
    client_out, server_out = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(client_out, server_out, server_side=True)
    client = trusting(FIRST.certificate + SECOND.certificate).wrap_bio(
        server_out, client_out, server_hostname="localhost"
    )
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client.getpeercert(binary_form=True) or b""


def der(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate.decode())


@pytest.fixture
def serving(tmp_path: Path) -> MountedAuthority:
    return MountedAuthority(tmp_path)


async def test_a_renewed_pair_of_the_same_authority_serves_at_once(
    tmp_path: Path, serving: MountedAuthority, trusting: Callable[[bytes], ssl.SSLContext]
) -> None:
    first = mount(tmp_path, FIRST)
    await serving.refresh(None, NOW)
    assert (served(serving.context, trusting), serving.ca_bundle) == (der(first), FIRST.certificate.decode())
    second = mount(tmp_path, FIRST)
    await serving.refresh(5, NOW)
    assert (served(serving.context, trusting), serving.ca_bundle) == (der(second), FIRST.certificate.decode())


async def test_a_pair_of_another_authority_waits_until_every_sidecar_trusts_it(
    tmp_path: Path, serving: MountedAuthority, trusting: Callable[[bytes], ssl.SSLContext]
) -> None:
    first = mount(tmp_path, FIRST)
    await serving.refresh(0, NOW)
    second = mount(tmp_path, SECOND)
    for lagging, moment in ((0, NOW), (1, NOW + MOUNTED_OVERLAP), (None, NOW + MOUNTED_OVERLAP)):
        await serving.refresh(lagging, moment)
        assert served(serving.context, trusting) == der(first)
        assert serving.ca_bundle.count("BEGIN") == 2
    await serving.refresh(0, NOW + MOUNTED_OVERLAP)
    assert served(serving.context, trusting) == der(second)


async def test_nobody_is_waited_for_when_the_served_pair_has_nearly_ended(
    tmp_path: Path, serving: MountedAuthority, trusting: Callable[[bytes], ssl.SSLContext]
) -> None:
    mount(tmp_path, FIRST)
    await serving.refresh(0, NOW)
    second = mount(tmp_path, SECOND)
    await serving.refresh(1, NOW + certificates.SERVING_LIFE * 0.92)
    assert served(serving.context, trusting) == der(second)


async def test_files_that_do_not_belong_together_change_nothing(
    tmp_path: Path, serving: MountedAuthority, trusting: Callable[[bytes], ssl.SSLContext]
) -> None:
    first = mount(tmp_path, FIRST)
    await serving.refresh(0, NOW)
    other = certificates.issue(FIRST, ["localhost"], NOW)
    mount(tmp_path, FIRST, Pair(other.certificate, first.key))
    with pytest.raises(ssl.SSLError):
        await serving.refresh(0, NOW)
    assert served(serving.context, trusting) == der(first)
    (tmp_path / "ca.crt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"."):
        await serving.refresh(0, NOW)
    (tmp_path / "tls.crt").unlink()
    with pytest.raises(OSError, match=r"tls\.crt"):
        await serving.refresh(0, NOW)
    mount(tmp_path, FIRST, other)
    await serving.refresh(0, NOW)
    assert served(serving.context, trusting) == der(other)
