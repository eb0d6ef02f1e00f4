"""Tickets: what an operator knows of a client, signed, in the client's own hands. Pure; times are seconds since 1970.

A ticket is bound to the token that the API server reviewed, so it is worth nothing without that token. It says who the
pod is, for a stream that opens while nobody can be asked, and what the pod was last granted, for an operator that has
just started. On the wire it is a byte of version, a byte that names the key, MessagePack, and an HMAC-SHA256 over all.
"""

import functools
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from forefill_operator.envelope import CLOCK_MARGIN
from forefill_protocol.codec import UNREADABLE

MOST_BYTES = 512
# A stream may open on a ticket for this long; then the API server must have been asked again.
LIFE_SECONDS = 600.0
# Operators on two nodes read two clocks.
SKEW_SECONDS = 60.0
# A new key signs once every operator has had the time to read it, and the old one verifies until its tickets are over.
SETTLE_SECONDS = 300.0
KEY_SECONDS = 30 * 86_400.0

_VERSION = 1
_MAC_BYTES = 32
_KEY_BYTES = 32
_DIGEST_BYTES = 16
_encoder = msgspec.msgpack.Encoder()


class Ticket(Struct, frozen=True, array_like=True, gc=False):
    """`token` is the digest of the token that the pod showed; a stream may open on it until `until`.

    `labels` are those of the pod's labels that the policy's selectors name. Rates are tokens/s.
    """

    pod_uid: str
    policy_uid: str
    rate: float
    safe_rate: float
    sequence: int
    issued_at: float
    until: float
    token: bytes
    namespace: str
    service_account: str
    pod: str
    workload: str = ""
    labels: Mapping[str, str] = {}


class Key(Struct, frozen=True):
    """`made_at` is its name, too."""

    secret: bytes
    made_at: float


class BadTicket(ValueError):
    """The word says what is wrong: `forged`, `stale`, `other_pod`, `other_token`, `other_policy`, `other_grant`."""


_decoder = msgspec.msgpack.Decoder(Ticket)


def make_key(now: float) -> Key:
    return Key(secrets.token_bytes(_KEY_BYTES), now)


def rotated(keys: Sequence[Key], now: float) -> tuple[Key, ...]:
    """The keys that are to be kept, oldest first, with a new one when the newest is old; one at least."""
    kept = sorted(keys, key=lambda key: key.made_at)
    if not kept or now - kept[-1].made_at > KEY_SECONDS:
        kept.append(make_key(now))
    over = SETTLE_SECONDS + LIFE_SECONDS + 2 * SKEW_SECONDS
    while len(kept) > 1 and now - kept[1].made_at > over:
        del kept[0]
    return tuple(kept)


def encode_keys(keys: Sequence[Key]) -> bytes:
    """JSON, for whatever keeps them."""
    return msgspec.json.encode(keys)


def decode_keys(text: bytes) -> tuple[Key, ...]:
    """Raises ValueError when the text holds no keys."""
    try:
        return msgspec.json.decode(text, type=tuple[Key, ...])
    except UNREADABLE as error:
        raise ValueError(f"the ticket keys can't be read: {error}") from None


def signing(keys: Sequence[Key], now: float) -> Key:
    """The newest key that every operator knows; the oldest when none is old enough."""
    if len(keys) == 1:
        return keys[0]
    settled = [key for key in keys if now - key.made_at >= SETTLE_SECONDS]
    return max(settled, key=lambda key: key.made_at) if settled else min(keys, key=lambda key: key.made_at)


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()[:_DIGEST_BYTES]


def seal(ticket: Ticket, key: Key) -> bytes:
    """Empty when it would exceed MOST_BYTES: then the client has none, and the API server is asked."""
    signer = _signer(key.secret)
    body = signer.start + _encoder.encode(ticket)
    if len(body) + _MAC_BYTES > MOST_BYTES:
        return b""
    return body + signer.mac(body)


def unseal(sealed: bytes, keys: Sequence[Key]) -> Ticket:
    """Raises BadTicket unless one of `keys` signed these bytes."""
    body, mac = sealed[:-_MAC_BYTES], sealed[-_MAC_BYTES:]
    if len(body) < 3 or len(sealed) > MOST_BYTES or body[0] != _VERSION:
        raise BadTicket("forged")
    named = [signer for key in keys if body.startswith((signer := _signer(key.secret)).start)]
    if not any(hmac.compare_digest(signer.mac(body), mac) for signer in named):
        raise BadTicket("forged")
    try:
        return _decoder.decode(body[2:])
    except UNREADABLE:
        raise BadTicket("forged") from None


def check_opens(ticket: Ticket, token: str, now: float) -> None:
    """Raises BadTicket unless a stream may open on it, for whoever shows this token."""
    if not hmac.compare_digest(ticket.token, digest(token)):
        raise BadTicket("other_token")
    if now >= ticket.until or not -SKEW_SECONDS <= now - ticket.issued_at <= LIFE_SECONDS + SKEW_SECONDS:
        raise BadTicket("stale")


def check_proves(
    ticket: Ticket, pod_uid: str, policy_uid: str, sequence: int, lease_seconds: float, now: float
) -> None:
    """Raises BadTicket unless it is of the pod's last lease of this policy. Recalls raise the sequence of a grant."""
    if ticket.pod_uid != pod_uid:
        raise BadTicket("other_pod")
    if ticket.policy_uid != policy_uid:
        raise BadTicket("other_policy")
    if ticket.sequence > sequence:
        raise BadTicket("other_grant")
    age = now - ticket.issued_at
    if not -SKEW_SECONDS <= age <= CLOCK_MARGIN * lease_seconds + SKEW_SECONDS:
        raise BadTicket("stale")


class _Signer:
    """HMAC-SHA256 (RFC 2104) with both paddings of the key hashed beforehand, which is most of the work."""

    def __init__(self, secret: bytes) -> None:
        padded = secret.ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))
        # A byte of the key's hash, so that not every key need be tried.
        self.start = bytes((_VERSION, hashlib.sha256(secret).digest()[0]))

    def mac(self, body: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(body)
        outer.update(inner.digest())
        return outer.digest()


@functools.lru_cache(maxsize=16)
def _signer(secret: bytes) -> _Signer:
    return _Signer(secret)
