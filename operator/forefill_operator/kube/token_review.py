"""Whose token is it? The API server is asked: by TokenReview, then for the pod that the token is bound to.

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
from forefill_operator.kube import annotations, api
from forefill_operator.kube.api import Api, Object
from forefill_operator.throttle import Budget
from forefill_protocol.podsettings import TOKEN_AUDIENCE

REFUSED_SECONDS = 10.0
MOST_REFUSED = 10_000
# Far above the length of a service account's token; checked before anything is sent.
LONGEST_TOKEN = 16_384
# What the API server is asked at most; who comes on a ticket waits for its turn with an open stream.
REVIEWS_PER_SECOND, REVIEWS_AT_ONCE = 200.0, 400.0

UNKNOWN = "the API server does not know the token"

_ACCOUNT = "system:serviceaccount:"
_EXTRA = "authentication.kubernetes.io/"
Clock = Callable[[], float]


class Reviewed(Struct, frozen=True):
    """What the API server said of a token that it knows."""

    namespace: str
    service_account: str
    pod: str
    pod_uid: str


class TokenReviews:
    """An Authenticator. `clock` is monotonic seconds.

    Only that a token is not valid is remembered, for a short time: whoever is let in keeps a stream, and any other
    refusal may be over at once.
    """

    def __init__(self, server: Api, clock: Clock = time.monotonic) -> None:
        self._api = server
        self._clock = clock
        self._refused: dict[bytes, float] = {}
        self._budget = Budget(REVIEWS_PER_SECOND, REVIEWS_AT_ONCE, REVIEWS_AT_ONCE, clock())

    async def authenticate(self, token: str) -> Client:
        """Raises Rejected: 401 for no valid token, 403 for no injected pod's, 503 when nobody can be asked."""
        if len(token) > LONGEST_TOKEN:
            raise Rejected(401, "the token is too long to be a service account's")
        digest = hashlib.sha256(token.encode()).digest()
        if self._refused.get(digest, 0.0) > self._clock():
            raise Rejected(401, UNKNOWN)
        if not self._budget.spend(self._clock()):
            raise Rejected(503, "too many tokens wait for their review")
        status = await self._review(token)
        if status.get("authenticated") is False:
            self._refuse(digest)
        reviewed = read_status(status)
        return read_pod(reviewed, await self._pod(reviewed))

    def expires_at(self, token: str) -> float:
        """By the token's own word, which counts only after a review."""
        return expiry(token)

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

    async def _pod(self, reviewed: Reviewed) -> Object:
        try:
            return await self._api.get(api.path("v1", "pods", reviewed.namespace, reviewed.pod))
        except api.NotFound:
            raise Rejected(401, "the token's pod is gone") from None
        except api.ApiError as error:
            raise Rejected(503, f"the API server can't be asked about the token's pod: {error.reason}") from None

    def _refuse(self, digest: bytes) -> None:
        self._refused.pop(digest, None)
        while len(self._refused) >= MOST_REFUSED:
            del self._refused[next(iter(self._refused))]
        self._refused[digest] = self._clock() + REFUSED_SECONDS


def read_pod(reviewed: Reviewed, pod: Object) -> Client:
    """The client that this pod is. Raises Rejected when the pod is another one or was never injected."""
    metadata = pod["metadata"]
    if metadata["uid"] != reviewed.pod_uid:
        raise Rejected(401, "the token's pod is gone; another has its name")
    labels = metadata.get("labels") or {}
    if labels.get(annotations.INJECTED) != "true":
        raise Rejected(403, f"the pod has no sidecar: it lacks the label {annotations.INJECTED}")
    return Client(
        reviewed.namespace, reviewed.service_account, reviewed.pod, reviewed.pod_uid, labels, workload(metadata)
    )


def workload(metadata: Mapping[str, Any]) -> str:
    """Kind and name of what the pod is one of: a ReplicaSet of a Deployment stands for the Deployment."""
    owners = [owner for owner in metadata.get("ownerReferences") or [] if owner.get("controller")]
    if not owners:
        return ""
    kind, name = owners[0]["kind"], owners[0]["name"]
    template = (metadata.get("labels") or {}).get("pod-template-hash")
    if kind == "ReplicaSet" and template and name.endswith(f"-{template}"):
        return f"Deployment/{name.removesuffix(f'-{template}')}"
    return f"{kind}/{name}"


def read_status(status: Mapping[str, Any]) -> Reviewed:
    """The pod that a TokenReview's status speaks of. Raises Rejected."""
    if status.get("authenticated") is not True:
        raise Rejected(401, UNKNOWN)
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
