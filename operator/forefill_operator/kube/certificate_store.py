"""Keeps the authority and the injector's certificate in Secrets, and the webhook's trust in step with them.

The chart makes the Secrets empty, so that no right to create any is needed, and keeps the authority's on uninstall.
"""

import base64
import datetime
import logging
from collections.abc import Sequence

from msgspec import Struct

from forefill_operator.kube import api, certificates
from forefill_operator.kube.api import Api, Object
from forefill_operator.kube.certificates import Pair

_log = logging.getLogger("forefill.certificates")

ATTEMPTS = 5


class Names(Struct, frozen=True):
    """Where things are: Secrets in `namespace`, Services of operator and injector, the webhook's configuration."""

    namespace: str
    authority_secret: str
    injector_secret: str
    operator_service: str
    injector_service: str
    webhook: str


class Issued(Struct, frozen=True):
    """What the operator serves streams with, and the PEM bundle that sidecars trust."""

    serving: Pair
    ca_bundle: str


class BrokenSecret(Exception):
    """The sentence names the Secret and what helps."""


def hosts(service: str, namespace: str) -> list[str]:
    """The names under which pods reach a Service; the fully qualified one serves pods without search domains."""
    return [f"{service}.{namespace}.svc", f"{service}.{namespace}.svc.cluster.local"]


async def ensure(server: Api, names: Names, held: Issued | None, now: datetime.datetime) -> Issued:
    """Bring everything in order and give what to serve with; `held` stays while it is good.

    Cheap when nothing is due (three GETs), so call it every minute. Raises ApiError or BrokenSecret.
    """
    authority = await _authority(server, names, now)
    await _injector(server, names, authority, now)
    await _trust(server, names.webhook, authority.certificate)
    own = hosts(names.operator_service, names.namespace)
    if held is not None and certificates.serves(held.serving, authority, own, now):
        return held
    _log.info("made a serving certificate for %s", own[0])
    return Issued(certificates.issue(authority, own, now), authority.certificate.decode())


async def _authority(server: Api, names: Names, now: datetime.datetime) -> Pair:
    """The authority in its Secret, made when the Secret is empty; of two operators that make one, the first wins."""
    path = api.path("v1", "secrets", names.namespace, names.authority_secret)
    for _ in range(ATTEMPTS):
        secret = await _get(server, path, names.authority_secret)
        if secret.get("data"):
            return _read_authority(secret, names.authority_secret)
        made = certificates.make_authority(f"{names.authority_secret}.{names.namespace}", now)
        try:
            await _write(server, path, secret, {"tls.crt": made.certificate, "tls.key": made.key})
        except api.Conflict:
            continue
        _log.info("made a certificate authority in Secret %s", names.authority_secret)
        return made
    raise BrokenSecret(f"Secret {names.authority_secret} changed {ATTEMPTS} times while it was written")


def _read_authority(secret: Object, name: str) -> Pair:
    pair = _pair(secret)
    try:
        certificates.read(pair)
    except certificates.BadPair as bad:
        # Another authority would cut off every sidecar that trusts this one, so nobody makes it unasked.
        raise BrokenSecret(f"Secret {name} holds no authority: {bad}; empty its data to have a new one made") from None
    return pair


async def _injector(server: Api, names: Names, authority: Pair, now: datetime.datetime) -> None:
    path = api.path("v1", "secrets", names.namespace, names.injector_secret)
    wanted = hosts(names.injector_service, names.namespace)
    secret = await _get(server, path, names.injector_secret)
    if _trusted(secret) == authority.certificate and certificates.serves(_pair(secret), authority, wanted, now):
        return
    made = certificates.issue(authority, wanted, now)
    await _write(
        server, path, secret, {"ca.crt": authority.certificate, "tls.crt": made.certificate, "tls.key": made.key}
    )
    _log.info("made a serving certificate in Secret %s", names.injector_secret)


async def _trust(server: Api, webhook: str, bundle: bytes) -> None:
    """The API server calls the webhooks of this configuration only when it trusts their certificates."""
    path = api.path("admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", name=webhook)
    encoded = base64.b64encode(bundle).decode()
    webhooks: Sequence[Object] = (await server.get(path)).get("webhooks") or []
    stale = [hook["name"] for hook in webhooks if hook["clientConfig"].get("caBundle") != encoded]
    if stale:
        changes = [{"name": name, "clientConfig": {"caBundle": encoded}} for name in stale]
        await server.patch(path, {"webhooks": changes}, api.STRATEGIC)
        _log.info("the API server trusts the injector's certificates, in MutatingWebhookConfiguration %s", webhook)


async def _get(server: Api, path: str, name: str) -> Object:
    try:
        return await server.get(path)
    except api.NotFound:
        raise BrokenSecret(f"Secret {name} is missing; helm upgrade makes it again") from None


async def _write(server: Api, path: str, secret: Object, data: dict[str, bytes]) -> None:
    encoded = {name: base64.b64encode(value).decode() for name, value in data.items()}
    version = {"resourceVersion": secret["metadata"]["resourceVersion"]}
    await server.patch(path, {"metadata": version, "data": encoded})


def _pair(secret: Object) -> Pair:
    data = secret.get("data") or {}
    return Pair(base64.b64decode(data.get("tls.crt", "")), base64.b64decode(data.get("tls.key", "")))


def _trusted(secret: Object) -> bytes:
    return base64.b64decode((secret.get("data") or {}).get("ca.crt", ""))
