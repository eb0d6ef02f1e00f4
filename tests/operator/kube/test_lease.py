import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from forefill_operator.kube.api import Api
from forefill_operator.kube.credentials import Credentials
from forefill_operator.kube.lease import (
    DURATION_SECONDS,
    GIVE_UP_SECONDS,
    Leadership,
    Lost,
    Sight,
    look,
    may_take,
    renewed,
)

PATH = "/apis/coordination.k8s.io/v1/namespaces/forefill/leases"
WALL_TIME = "2026-01-02T03:04:05.000000Z"


def lease(holder: str = "", renew_time: str = "", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "operator"}, "spec": {"holderIdentity": holder, "renewTime": renew_time, **spec}}


@pytest.mark.parametrize(
    ("seen", "now", "expected"),
    [
        (Sight("", "", 0.0), 0.0, True),
        (Sight("me", "a", 0.0), 0.0, True),
        (Sight("you", "a", 0.0), DURATION_SECONDS - 0.1, False),
        (Sight("you", "a", 0.0), DURATION_SECONDS, True),
    ],
    ids=["free", "ours from an earlier life", "renewed lately", "not renewed"],
)
def test_a_lease_may_be_taken_when_nobody_renews_it(seen: Sight, now: float, expected: bool) -> None:
    assert may_take(seen, "me", now) is expected


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (None, Sight("you", "b", 9.0)),
        (Sight("you", "a", 1.0), Sight("you", "b", 9.0)),
        (Sight("me", "b", 1.0), Sight("you", "b", 9.0)),
        (Sight("you", "b", 1.0), Sight("you", "b", 1.0)),
    ],
    ids=["first", "renewed", "another holder", "unchanged"],
)
def test_a_sight_dates_from_when_the_lease_began_to_look_so(before: Sight | None, expected: Sight) -> None:
    assert look(lease("you", "b"), before, 9.0) == expected


@pytest.mark.parametrize("found", [{}, {"spec": None}, {"spec": {}}, {"spec": {"holderIdentity": None}}])
def test_a_lease_without_a_holder_is_free(found: dict[str, Any]) -> None:
    assert look(found, None, 1.0) == Sight("", "", 1.0)


def test_a_renewal_by_its_holder_is_no_transition() -> None:
    before = lease("me", "a", acquireTime="a", leaseTransitions=4)
    assert renewed(before, "me", WALL_TIME)["spec"] == {
        "holderIdentity": "me",
        "renewTime": WALL_TIME,
        "acquireTime": "a",
        "leaseTransitions": 4,
        "leaseDurationSeconds": 15,
    }


def test_a_change_of_hands_is_a_transition() -> None:
    before = lease("you", "a", acquireTime="a", leaseTransitions=4)
    assert renewed(before, "me", WALL_TIME) == {
        "metadata": {"name": "operator"},
        "spec": {
            "holderIdentity": "me",
            "renewTime": WALL_TIME,
            "acquireTime": WALL_TIME,
            "leaseTransitions": 5,
            "leaseDurationSeconds": 15,
        },
    }


class Leases:
    """An API server of one Lease, with resourceVersions as the real one has them.

    `failing` is the status of every answer, 0 for none at all; `deaf` counts renewals that happen but stay unanswered.
    """

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.failing: int | None = None
        self.deaf = 0
        self.url = ""

    def put(self, found: dict[str, Any]) -> None:
        self.version += 1
        self.lease = {**found, "metadata": {**found["metadata"], "resourceVersion": str(self.version)}}

    @property
    def holder(self) -> str:
        return str(self.lease["spec"]["holderIdentity"]) if self.lease and "spec" in self.lease else ""

    async def serve(self, request: web.Request) -> web.Response:
        if self.failing is not None:
            return await self._fail(self.failing)
        if request.method == "POST" and self.lease is None:
            self.put(await request.json())
        elif self.lease is None:
            return web.json_response({"reason": "NotFound"}, status=404)
        elif request.method == "PUT":
            body = await request.json()
            if body["metadata"].get("resourceVersion") != self.lease["metadata"]["resourceVersion"]:
                return web.json_response({"reason": "Conflict"}, status=409)
            self.put(body)
            if self.deaf:
                self.deaf -= 1
                return web.json_response({"reason": "Timeout"}, status=504)
        return web.json_response(self.lease)

    async def _fail(self, status: int) -> web.Response:
        if status == 0:
            await asyncio.sleep(3600.0)
        return web.json_response({"reason": "Failing"}, status=status)


class Clock:
    """The machine's clock, and what the test adds to it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
async def leases() -> AsyncIterator[Leases]:
    leases = Leases()
    application = web.Application()
    application.router.add_route("*", PATH, leases.serve)
    application.router.add_route("*", PATH + "/operator", leases.serve)
    async with TestServer(application) as server:
        leases.url = str(server.make_url("")).rstrip("/")
        yield leases


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def make(leases: Leases, clock: Clock) -> AsyncIterator["Make"]:
    async with Api(Credentials(leases.url, ssl.create_default_context(), token="mine")) as connected:
        yield lambda holder, renew_seconds=0.05: Leadership(
            connected, "forefill", "operator", holder, clock, renew_seconds
        )


Make = Callable[..., Leadership]


@contextlib.asynccontextmanager
async def running(coroutine: Any) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(coroutine)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_lease_that_does_not_exist_is_made_and_held(leases: Leases, make: Make) -> None:
    leadership = make("me")
    await leadership.acquire()
    assert (leadership.held, leases.holder) == (True, "me")


async def test_a_lease_of_another_is_waited_for_until_it_was_not_renewed(
    leases: Leases, make: Make, clock: Clock
) -> None:
    leases.put(lease("you", "a"))
    leadership = make("me")
    async with running(leadership.acquire()) as acquiring:
        await asyncio.sleep(0.1)
        clock.ahead += DURATION_SECONDS - 1.0
        leases.put(lease("you", "b"))
        await asyncio.sleep(1.5)
        assert (acquiring.done(), leases.holder) == (False, "you")
        clock.ahead += DURATION_SECONDS
        await asyncio.wait_for(acquiring, 5.0)
    assert leases.holder == "me"


async def test_of_two_who_ask_one_holds_the_lease(leases: Leases, make: Make) -> None:
    one, two = make("one"), make("two")
    async with running(one.acquire()) as first, running(two.acquire()) as second:
        done, _ = await asyncio.wait([first, second], timeout=3.0, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(1.2)
        assert len(done) == 1
        assert [first.done(), second.done()] == [leases.holder == "one", leases.holder == "two"]


async def test_an_api_server_that_is_away_is_asked_again(leases: Leases, make: Make) -> None:
    leases.failing = 503
    async with running(make("me").acquire()) as acquiring:
        await asyncio.sleep(0.1)
        leases.failing = None
        await asyncio.wait_for(acquiring, 5.0)
    assert leases.holder == "me"


async def test_a_lease_is_renewed_while_it_is_kept(leases: Leases, make: Make, eventually: Any) -> None:
    leadership = make("me")
    await leadership.acquire()
    version = leases.version
    async with running(leadership.keep()):
        await asyncio.wait_for(eventually(lambda: leases.version > version), 10.0)
        assert leadership.held


async def test_a_lease_that_another_took_is_lost(leases: Leases, make: Make) -> None:
    leadership = make("me")
    await leadership.acquire()
    leases.put(lease("you", "b"))
    with pytest.raises(Lost, match="another operator took the Lease"):
        await asyncio.wait_for(leadership.keep(), 10.0)
    assert (leadership.held, leases.holder) == (False, "you")


async def test_a_lease_that_ended_before_it_was_kept_is_lost_at_once(make: Make, clock: Clock) -> None:
    leadership = make("me", renew_seconds=3600.0)
    await leadership.acquire()
    clock.ahead += GIVE_UP_SECONDS
    with pytest.raises(Lost, match="could not be renewed for 10 s"):
        await asyncio.wait_for(leadership.keep(), 5.0)


async def test_a_renewal_whose_answer_was_lost_is_no_loss(leases: Leases, make: Make, eventually: Any) -> None:
    leadership = make("me")
    await leadership.acquire()
    version, leases.deaf = leases.version, 1
    async with running(leadership.keep()) as keeping:
        await asyncio.wait_for(eventually(lambda: leases.version >= version + 2), 20.0)
        assert not keeping.done()


@pytest.mark.parametrize("failing", [0, 503], ids=["silence", "refusals"])
async def test_an_operator_that_cannot_renew_stops_before_another_may_begin(
    failing: int, leases: Leases, make: Make, clock: Clock
) -> None:
    leadership = make("me")
    await leadership.acquire()
    leases.failing = failing
    # What is left of the time in which no rival may begin yet is a real second and a half, less than one call may take.
    clock.ahead += GIVE_UP_SECONDS - 1.5
    with pytest.raises(Lost, match="could not be renewed for 10 s"):
        await asyncio.wait_for(leadership.keep(), 5.0)
    assert not leadership.held


async def test_a_lease_that_was_released_is_free_at_once(leases: Leases, make: Make) -> None:
    leadership = make("me")
    await leadership.acquire()
    await leadership.release()
    assert leases.holder == ""
    await asyncio.wait_for(make("you").acquire(), 1.0)
    assert leases.holder == "you"


async def test_a_release_that_fails_is_logged(leases: Leases, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    leadership = make("me")
    await leadership.acquire()
    leases.failing = 503
    await leadership.release()
    assert "the Lease was not released and ends by itself" in caplog.text
