import base64
import json
from typing import Any

import pytest

from forefill_operator.client import Client
from forefill_operator.identity import Rejected
from forefill_operator.kube.api import Api
from forefill_operator.kube.token_review import MOST_REFUSED, REVIEWS_AT_ONCE, TokenReviews, expiry, workload

REVIEW = "POST /apis/authentication.k8s.io/v1/tokenreviews"
POD = "GET /api/v1/namespaces/shop/pods/web-0"
USER = {
    "username": "system:serviceaccount:shop:web",
    "groups": ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"],
    "extra": {
        "authentication.kubernetes.io/pod-name": ["web-0"],
        "authentication.kubernetes.io/pod-uid": ["uid-0"],
    },
}
KNOWN = {"authenticated": True, "audiences": ["forefill.io"], "user": USER}
LABELS = {"tier": "web", "forefill.io/injected": "true", "pod-template-hash": "6f9c"}
OWNER = {"kind": "ReplicaSet", "name": "web-6f9c", "controller": True}
CLIENT = Client("shop", "web", "web-0", "uid-0", LABELS, "Deployment/web")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def token(expires: float = 1e12, mark: str = "a") -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode()).decode().rstrip("=")
    return f"header.{claims}.{mark}"


def says(api_server: Any, status: Any) -> None:
    api_server.answers[REVIEW] = (201, {"status": status})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reviews(api: Api, clock: Clock, api_server: Any) -> TokenReviews:
    says(api_server, KNOWN)
    api_server.answers[POD] = (200, {"metadata": {"uid": "uid-0", "labels": LABELS, "ownerReferences": [OWNER]}})
    return TokenReviews(api, clock)


async def rejected(reviews: TokenReviews, presented: str) -> tuple[int, str]:
    with pytest.raises(Rejected) as caught:
        await reviews.authenticate(presented)
    assert presented not in caught.value.sentence
    return caught.value.code, caught.value.sentence


async def test_a_pod_is_what_the_api_server_says(reviews: TokenReviews, api_server: Any) -> None:
    assert await reviews.authenticate(token()) == CLIENT
    (body,) = api_server.asked(REVIEW)
    assert body["spec"] == {"token": token(), "audiences": ["forefill.io"]}


def changed(**user: Any) -> dict[str, Any]:
    return {**KNOWN, "user": {**USER, **user}}


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        ({"authenticated": False}, 401, "does not know the token"),
        ({}, 401, "does not know the token"),
        ({**KNOWN, "authenticated": "true"}, 401, "does not know the token"),
        ({**KNOWN, "audiences": ["https://kubernetes.default.svc"]}, 401, "not for the audience forefill.io"),
        ({**KNOWN, "audiences": None}, 401, "not for the audience forefill.io"),
        (changed(username="kubernetes-admin"), 403, "not a service account's"),
        (changed(username="system:serviceaccount:shop"), 403, "not a service account's"),
        (changed(groups=["system:authenticated"]), 403, "not a service account's"),
        (changed(extra={}), 403, "not bound to a pod"),
        (changed(extra={"authentication.kubernetes.io/pod-name": ["web-0"]}), 403, "not bound to a pod"),
    ],
)
async def test_a_token_that_proves_no_pod_is_rejected(
    status: Any, code: int, words: str, reviews: TokenReviews, api_server: Any
) -> None:
    says(api_server, status)
    got, sentence = await rejected(reviews, token())
    assert (got, words in sentence) == (code, True)


@pytest.mark.parametrize(
    ("pod", "words"), [((404, {"reason": "NotFound"}), "gone"), ((200, {"metadata": {"uid": "uid-1"}}), "another")]
)
async def test_the_token_of_a_pod_that_is_gone_is_rejected(
    pod: Any, words: str, reviews: TokenReviews, api_server: Any
) -> None:
    api_server.answers[POD] = pod
    code, sentence = await rejected(reviews, token())
    assert (code, words in sentence) == (401, True)


@pytest.mark.parametrize("call", [REVIEW, POD])
@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_nobody_is_judged_while_the_api_server_gives_no_answer(
    call: str, status: int, reviews: TokenReviews, api_server: Any
) -> None:
    before = api_server.answers[call]
    api_server.answers[call] = (status, {"reason": "Busy"})
    assert (await rejected(reviews, token()))[0] == 503
    api_server.answers[call] = before
    assert await reviews.authenticate(token()) == CLIENT


async def test_a_pod_that_was_never_injected_is_rejected(reviews: TokenReviews, api_server: Any) -> None:
    api_server.answers[POD] = (200, {"metadata": {"uid": "uid-0", "labels": {"tier": "web"}}})
    assert await rejected(reviews, token()) == (403, "the pod has no sidecar: it lacks the label forefill.io/injected")


async def test_every_stream_is_reviewed_anew(reviews: TokenReviews, api_server: Any) -> None:
    await reviews.authenticate(token())
    api_server.answers[POD] = (404, {"reason": "NotFound"})
    assert await rejected(reviews, token()) == (401, "the token's pod is gone")


async def test_that_a_token_is_not_valid_is_remembered_for_ten_seconds(
    reviews: TokenReviews, clock: Clock, api_server: Any
) -> None:
    says(api_server, {"authenticated": False})
    await rejected(reviews, token())
    says(api_server, KNOWN)
    clock.now += 9
    await rejected(reviews, token())
    assert len(api_server.asked(REVIEW)) == 1
    clock.now += 2
    assert await reviews.authenticate(token()) == CLIENT


@pytest.mark.parametrize("status", [{}, changed(extra={}), {**KNOWN, "audiences": []}])
async def test_no_other_refusal_is_remembered(status: Any, reviews: TokenReviews, api_server: Any) -> None:
    says(api_server, status)
    await rejected(reviews, token())
    says(api_server, KNOWN)
    assert await reviews.authenticate(token()) == CLIENT


async def test_the_api_server_is_asked_two_hundred_times_a_second_at_most(
    reviews: TokenReviews, clock: Clock, api_server: Any
) -> None:
    for _ in range(int(REVIEWS_AT_ONCE)):
        await reviews.authenticate(token())
    assert await rejected(reviews, token()) == (503, "too many tokens wait for their review")
    clock.now += 0.02
    assert await reviews.authenticate(token()) == CLIENT


async def test_a_token_too_long_is_not_even_sent(reviews: TokenReviews, api_server: Any) -> None:
    assert (await rejected(reviews, "x" * 20_000))[0] == 401
    assert api_server.requests == []


async def test_what_is_remembered_is_bounded_and_holds_no_token(reviews: TokenReviews, api_server: Any) -> None:
    says(api_server, {"authenticated": False})
    await rejected(reviews, token())
    assert token() not in repr(vars(reviews))
    reviews._refused.update({bytes([n % 256, n // 256]): 1e12 for n in range(MOST_REFUSED)})
    await rejected(reviews, token(mark="b"))
    assert len(reviews._refused) <= MOST_REFUSED


@pytest.mark.parametrize(
    ("owners", "name"),
    [
        ([OWNER], "Deployment/web"),
        ([{"kind": "ReplicaSet", "name": "lonely", "controller": True}], "ReplicaSet/lonely"),
        ([{"kind": "StatefulSet", "name": "db", "controller": True}], "StatefulSet/db"),
        ([{"kind": "ConfigMap", "name": "x"}], ""),
        ([], ""),
    ],
)
def test_a_workload_is_what_controls_the_pod(owners: Any, name: str) -> None:
    assert workload({"labels": LABELS, "ownerReferences": owners}) == name


@pytest.mark.parametrize("garbage", ["", "a", "a.b.c", "a.e30.c", "a.eyJleHAiOiJ4In0.c"])
def test_a_token_without_a_readable_end_has_ended(garbage: str) -> None:
    assert expiry(garbage) == 0.0


def test_the_end_of_a_token_is_read_from_its_claims() -> None:
    assert expiry(token(expires=1234.0)) == 1234.0
