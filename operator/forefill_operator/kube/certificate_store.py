"""Keeps the authorities and the injector's certificate in Secrets, and the webhook's trust in step with them.

The chart makes the Secrets empty, so that no right to create any is needed, and keeps the authority's on uninstall.
"""

import base64
import datetime
import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from forefill_operator.kube import api, authorities, certificates
from forefill_operator.kube.api import Api, Object
from forefill_operator.kube.authorities import Authorities, Wish
from forefill_operator.kube.certificates import Pair

_log = logging.getLogger("forefill.certificates")

ATTEMPTS = 5
# An annotation of the authority's Secret asks for a new authority; `force` does not wait for silent sidecars.
WISH = "forefill.io/rotate-ca"


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


async def ensure(
    server: Api, names: Names, held: Issued | None, now: datetime.datetime, lagging: int | None = None
) -> Issued:
    """Bring everything in order and give what to serve with; `held` stays while it is good.

    `lagging` sidecars have not named the bundle in force, None while nobody can say. Cheap when nothing is due (three
    GETs), so call it every minute. Raises ApiError or BrokenSecret.
    """
    found = await _authorities(server, names, lagging, now)
    await _injector(server, names, found, now)
    await _trust(server, names.webhook, found.bundle.encode())
    own = hosts(names.operator_service, names.namespace)
    if held is not None and certificates.serves(held.serving, found.active, own, now):
        return Issued(held.serving, found.bundle)
    _log.info("made a serving certificate for %s", own[0])
    return Issued(certificates.issue(found.active, own, now), found.bundle)


async def _authorities(server: Api, names: Names, lagging: int | None, now: datetime.datetime) -> Authorities:
    """The authorities in their Secret, made when it is empty; of two operators that change it, the first wins."""
    name = names.authority_secret
    path = api.path("v1", "secrets", names.namespace, name)
    for _ in range(ATTEMPTS):
        secret = await _get(server, path, name)
        kept = _read(secret, name)
        if kept is None:
            wanted = Authorities(certificates.make_authority(f"{name}.{names.namespace}", now))
        else:
            wanted = authorities.advanced(kept, lagging, _wish(secret), now)
        if wanted == kept:
            return wanted
        is_over = kept is not None and wanted.active != kept.active
        try:
            await _write(server, path, secret, _data(wanted), {WISH: None} if is_over else {})
        except api.Conflict:
            continue
        _log.info("Secret %s: %s", name, _what_happened(kept, wanted))
        return wanted
    raise BrokenSecret(f"Secret {name} changed {ATTEMPTS} times while it was written")


def _what_happened(before: Authorities | None, after: Authorities) -> str:
    if before is None:
        return "made a certificate authority"
    if after.active != before.active:
        return "the next certificate authority signs from now on; the last one stays trusted for a while"
    if after.following is not None:
        return "made the next certificate authority; it signs once every sidecar trusts it"
    return "the last certificate authority is trusted no longer"


def _wish(secret: Object) -> Wish:
    asked = (secret["metadata"].get("annotations") or {}).get(WISH, "")
    return asked if asked in ("", "force") else "now"


def _read(secret: Object, name: str) -> Authorities | None:
    """None for an empty Secret."""
    data = secret.get("data") or {}
    if not data.get("tls.crt") and not data.get("tls.key"):
        return None
    active, following = _pair(secret), _pair(secret, "next")
    try:
        certificates.read(active)
        if following.certificate:
            certificates.read(following)
    except certificates.BadPair as bad:
        # Another authority would cut off every sidecar that trusts this one, so nobody makes it unasked.
        raise BrokenSecret(
            f"Secret {name} holds no authority: {bad}; empty its tls.crt and tls.key to have a new one made"
        ) from None
    since = base64.b64decode(data.get("since", "")).decode()
    return Authorities(
        active,
        following if following.certificate else None,
        base64.b64decode(data.get("previous.crt", "")),
        datetime.datetime.fromisoformat(since) if since else None,
    )


def _data(held: Authorities) -> dict[str, bytes | None]:
    """None takes a key out."""
    following = held.following
    return {
        "tls.crt": held.active.certificate,
        "tls.key": held.active.key,
        "next.crt": following.certificate if following else None,
        "next.key": following.key if following else None,
        "previous.crt": held.previous or None,
        "since": held.since.isoformat().encode() if held.since else None,
    }


async def _injector(server: Api, names: Names, found: Authorities, now: datetime.datetime) -> None:
    path = api.path("v1", "secrets", names.namespace, names.injector_secret)
    wanted = hosts(names.injector_service, names.namespace)
    secret = await _get(server, path, names.injector_secret)
    bundle = found.bundle.encode()
    is_good = certificates.serves(_pair(secret), found.active, wanted, now)
    if _trusted(secret) == bundle and is_good:
        return
    made = _pair(secret) if is_good else certificates.issue(found.active, wanted, now)
    await _write(server, path, secret, {"ca.crt": bundle, "tls.crt": made.certificate, "tls.key": made.key})
    _log.info("wrote a serving certificate and what to trust into Secret %s", names.injector_secret)


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


async def _write(
    server: Api,
    path: str,
    secret: Object,
    data: Mapping[str, bytes | None],
    annotations: Mapping[str, str | None] = MappingProxyType({}),
) -> None:
    encoded = {name: None if value is None else base64.b64encode(value).decode() for name, value in data.items()}
    metadata: Object = {"resourceVersion": secret["metadata"]["resourceVersion"]}
    if annotations:
        metadata["annotations"] = dict(annotations)
    await server.patch(path, {"metadata": metadata, "data": encoded})


def _pair(secret: Object, name: str = "tls") -> Pair:
    data = secret.get("data") or {}
    return Pair(base64.b64decode(data.get(f"{name}.crt", "")), base64.b64decode(data.get(f"{name}.key", "")))


def _trusted(secret: Object) -> bytes:
    return base64.b64decode((secret.get("data") or {}).get("ca.crt", ""))
