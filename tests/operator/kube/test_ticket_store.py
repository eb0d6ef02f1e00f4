import base64
from typing import Any

import pytest

from forefill_operator import tickets
from forefill_operator.kube import ticket_store
from forefill_operator.kube.api import Api
from forefill_operator.kube.certificate_store import BrokenSecret

SECRET = "/api/v1/namespaces/forefill/secrets/tickets"
NOW = 1_700_000_000.0


@pytest.fixture
def secret(api_server: Any) -> Any:
    """The Secret as the chart makes it, changed by merge patches."""
    stored: Any = {"metadata": {"resourceVersion": "1"}}
    api_server.answers[f"GET {SECRET}"] = api_server.answers[f"PATCH {SECRET}"] = (200, stored)
    api_server.patched = lambda path, body: stored.setdefault("data", {}).update(body["data"])
    return stored


async def test_keys_are_made_once_and_found_again(api: Api, api_server: Any, secret: Any) -> None:
    made = await ticket_store.ensure(api, "forefill", "tickets", NOW)
    assert await ticket_store.ensure(api, "forefill", "tickets", NOW + 60) == made
    assert tickets.decode_keys(base64.b64decode(secret["data"]["tickets.json"])) == made
    assert len(api_server.asked(f"PATCH {SECRET}")) == 1


async def test_old_keys_are_rotated(api: Api, secret: Any) -> None:
    made = await ticket_store.ensure(api, "forefill", "tickets", NOW)
    rotated = await ticket_store.ensure(api, "forefill", "tickets", NOW + tickets.KEY_SECONDS + 1)
    assert (len(rotated), rotated[0]) == (2, made[0])


async def test_keys_that_can_not_be_read_are_made_anew(api: Api, secret: Any) -> None:
    secret["data"] = {"tickets.json": "bm90aGluZw=="}
    assert len(await ticket_store.ensure(api, "forefill", "tickets", NOW)) == 1


async def test_of_two_operators_that_make_keys_the_first_wins(api: Api, api_server: Any, secret: Any) -> None:
    theirs = (tickets.make_key(NOW),)

    def conflict(path: str, body: Any) -> None:
        raise AssertionError("a conflict changes nothing")

    api_server.patched = conflict
    api_server.answers[f"PATCH {SECRET}"] = (409, {"reason": "Conflict"})
    with pytest.raises(BrokenSecret, match="changed 5 times"):
        await ticket_store.ensure(api, "forefill", "tickets", NOW)
    secret["data"] = {"tickets.json": base64.b64encode(tickets.encode_keys(theirs)).decode()}
    assert await ticket_store.ensure(api, "forefill", "tickets", NOW) == theirs


async def test_a_missing_secret_is_told_with_what_helps(api: Api) -> None:
    with pytest.raises(BrokenSecret, match="Secret tickets is missing; helm upgrade makes it again"):
        await ticket_store.ensure(api, "forefill", "tickets", NOW)
