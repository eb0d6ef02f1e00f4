"""Whose token is it? The API server is asked (TokenReview, then the pod), and its answer kept for a short time.

Tokens are kept as hashes only and are never logged.
"""

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from forefill_operator.client import Client
from forefill_operator.identity import Rejected
from forefill_operator.kube import api
from forefill_operator.kube.api import Api
from forefill_protocol.podsettings import TOKEN_AUDIENCE

KEEP_SECONDS = 60.0
KEEP_REFUSED_SECONDS = 10.0
MOST_KEPT = 20_000
# Far above the length of a service account's token; checked before anything is sent.
LONGEST_TOKEN = 16_384

_ACCOUNT = "system:serviceaccount:"
_EXTRA = "authentication.kubernetes.io/"
Clock = Callable[[], float]


class Reviewed(Struct, frozen=True):
    """What the API server said of a token that it knows."""

    namespace: str
    service_account: str
    pod: str
    pod_uid: str


class Kept(Struct, frozen=True):
    """An answer and until when (monotonic seconds) it is given again."""

    answer: Client | Rejected
    until: float


class TokenReviews:
    """An Authenticator. `clock` is monotonic, `wall_clock` in seconds since 1970, as expiries in tokens are."""

    def __init__(self, server: Api, clock: Clock = time.monotonic, wall_clock: Clock = time.time) -> None:
        self._api = server
        self._clock = clock
        self._wall_clock = wall_clock
        self._kept: dict[bytes, Kept] = {}

    async def authenticate(self, token: str) -> Client:
        """Raises Rejected: 401 for no valid token, 403 for one that is no pod's, 503 when nobody can be asked."""
        if len(token) > LONGEST_TOKEN:
            raise Rejected(401, "the token is too long to be a service account's")
        digest = hashlib.sha256(token.encode()).digest()
        kept = self._kept.get(digest)
        if kept is None or kept.until <= self._clock():
            kept = await self._ask(token)
            self._keep(digest, kept)
        if isinstance(kept.answer, Rejected):
            raise Rejected(kept.answer.code, kept.answer.sentence)
        return kept.answer

    async def _ask(self, token: str) -> Kept:
        """Only what the API server answered is kept: that it could not be asked is raised."""
        try:
            status = await self._review(token)
            reviewed = read_status(status)
            labels = await self._labels(reviewed)
        except Rejected as rejected:
            if rejected.code == 503:
                raise
            return Kept(rejected, self._clock() + KEEP_REFUSED_SECONDS)
        client = Client(reviewed.namespace, reviewed.service_account, reviewed.pod, reviewed.pod_uid, labels)
        return Kept(client, self._clock() + min(KEEP_SECONDS, expiry(token) - self._wall_clock()))

    async def _review(self, token: str) -> Mapping[str, Any]:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [TOKEN_AUDIENCE]},
        }
        try:
            review = await self._api.create(api.path("authentication.k8s.io/v1", "tokenreviews"), body)
        except api.ApiError as error:
            raise Rejected(503, f"the API server can't be asked about the token: {error.reason}") from None
        return review.get("status") or {}

    async def _labels(self, reviewed: Reviewed) -> Mapping[str, str]:
        try:
            pod = await self._api.get(api.path("v1", "pods", reviewed.namespace, reviewed.pod))
        except api.NotFound:
            raise Rejected(401, "the token's pod is gone") from None
        except api.ApiError as error:
            raise Rejected(503, f"the API server can't be asked about the token's pod: {error.reason}") from None
        if pod["metadata"]["uid"] != reviewed.pod_uid:
            raise Rejected(401, "the token's pod is gone; another has its name")
        return pod["metadata"].get("labels") or {}

    def _keep(self, digest: bytes, kept: Kept) -> None:
        self._kept.pop(digest, None)
        while len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[digest] = kept


def read_status(status: Mapping[str, Any]) -> Reviewed:
    """The pod that a TokenReview's status speaks of. Raises Rejected."""
    if status.get("authenticated") is not True:
        raise Rejected(401, "the API server does not know the token")
    # A server that knows nothing of audiences leaves them out and has not checked ours.
    if TOKEN_AUDIENCE not in (status.get("audiences") or []):
        raise Rejected(401, f"the token is not for the audience {TOKEN_AUDIENCE}")
    user = status.get("user") or {}
    name, extra = user.get("username") or "", user.get("extra") or {}
    namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
    if "system:serviceaccounts" not in (user.get("groups") or []) or not name.startswith(_ACCOUNT) or not account:
        raise Rejected(403, "the token is not a service account's")
    pods, uids = extra.get(f"{_EXTRA}pod-name") or [], extra.get(f"{_EXTRA}pod-uid") or []
    if len(pods) != 1 or len(uids) != 1:
        raise Rejected(403, "the token is not bound to a pod")
    return Reviewed(namespace, account, pods[0], uids[0])


def expiry(token: str) -> float:
    """Seconds since 1970 when the token ends, by its own word, which counts only after a review; 0 without one."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (IndexError, ValueError, KeyError, TypeError):
        return 0.0
