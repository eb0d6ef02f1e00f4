from collections.abc import Callable

import pytest

from forefill_operator import grants
from forefill_operator.client import Client
from forefill_operator.envelope import Envelope, Held
from forefill_operator.grants import Amounts
from forefill_operator.member import Member
from forefill_operator.policy import TokenPolicy
from forefill_protocol.policysettings import CostRoute, CostSettings, ForecastSettings

Make = Callable[..., TokenPolicy]


@pytest.mark.parametrize(
    ("planned", "own", "others", "clients", "expected"),
    [
        # room for all of it; the safe rate is an equal part of half of max
        (100.0, Held(), Held(), 4, Amounts(100.0, 50.0, 300.0)),
        # the safe rate is never above the rate
        (20.0, Held(), Held(), 4, Amounts(20.0, 20.0, 300.0)),
        # others leave 60
        (100.0, Held(), Held(340.0, 0.0, 0.0), 4, Amounts(60.0, 50.0, 300.0)),
        # what it has already it may have again, though others hold too much
        (100.0, Held(80.0, 10.0, 90.0), Held(350.0, 200.0, 1200.0), 4, Amounts(80.0, 10.0, 90.0)),
        # a reduction waits for nothing
        (30.0, Held(80.0, 40.0, 300.0), Held(500.0, 200.0, 1200.0), 4, Amounts(30.0, 30.0, 300.0)),
        # nothing is free and nothing is its own
        (30.0, Held(), Held(400.0, 200.0, 1200.0), 4, Amounts(0.0, 0.0, 0.0)),
    ],
)
def test_a_grant_is_the_most_that_fits(
    make_policy: Make, planned: float, own: Held, others: Held, clients: int, expected: Amounts
) -> None:
    assert grants.fitting(planned, 300.0, make_policy().spec, own, others, clients) == expected


def test_a_grant_counts_from_the_report_and_a_little_longer_for_the_operator(make_policy: Make) -> None:
    policy = make_policy()
    member = Member(Client("ai", "default", "chat-1", "uid-1"))
    member.heard(7, policy.spec.report, 100.0)
    granted = grants.assignment(policy, member, Amounts(50.0, 25.0, 150.0), 3, "because")
    assert (granted.answers, granted.grant_sequence, granted.policy, granted.reason) == (7, 3, "ai/llm", "because")
    assert (granted.next_report_seconds, granted.rate_seconds, granted.lease_seconds) == (10.0, 12.0, 30.0)
    expected = Envelope(3, 50.0, 100.0 + 1.01 * 12.0, 25.0, 100.0 + 1.01 * 30.0, 25.0, 150.0)
    assert grants.envelope(granted, 100.0, policy.spec) == expected


@pytest.mark.parametrize(("fallback", "last_rate"), [("Safe", 25.0), ("Deny", 0.0), ("Open", 25.0)])
def test_the_fallback_decides_what_is_counted_after_the_lease(
    make_policy: Make, fallback: str, last_rate: float
) -> None:
    policy = make_policy(spec__fallback=fallback)
    member = Member(Client("ai", "default", "chat-1", "uid-1"))
    granted = grants.assignment(policy, member, Amounts(50.0, 25.0, 150.0), 3, "")
    assert grants.envelope(granted, 0.0, policy.spec).last_rate == last_rate


def test_settings_hold_all_that_a_sidecar_acts_on(make_policy: Make) -> None:
    cost = {
        "default": 1,
        "perKilobyte": 0.5,
        "routes": [{"path": "/v1/{model}", "cost": 20, "method": "POST"}],
        "response": {"jsonPointer": "/usage/total_tokens"},
        "reserve": 200,
        "maxDebt": 1000,
    }
    carried = grants.settings(make_policy(spec__cost=cost, spec__forecast__timeZone="Europe/Paris").spec)
    assert carried.cost == CostSettings(
        default=1.0,
        routes=[CostRoute("/v1/{model}", 20.0, "POST")],
        per_kilobyte=0.5,
        response_pointer="/usage/total_tokens",
        reserve=200.0,
        max_debt=1000.0,
    )
    assert carried.forecast == ForecastSettings("Ensemble", 0.95, 3, "Europe/Paris")


@pytest.mark.parametrize(("authorized", "header"), [(True, "x-user"), (False, "")])
def test_nobody_is_told_of_the_users_header_before_it_may_be_read(
    make_policy: Make, authorized: bool, header: str
) -> None:
    users = {"header": "x-user", "authorized": authorized}
    assert grants.settings(make_policy(spec__forecast__userDimension=users).spec).forecast.user_header == header


def test_settings_go_along_until_the_generation_is_acknowledged(make_policy: Make) -> None:
    policy = make_policy(spec__cost__default=2, spec__cost__header="x-tokens")
    member = Member(Client("ai", "default", "chat-1", "uid-1"))
    carried = grants.assignment(policy, member, Amounts(1.0, 1.0, 1.0), 1, "").settings
    assert carried == grants.settings(policy.spec)
    assert carried is not None
    assert (carried.cost.default, carried.cost.header, carried.queue.max_requests) == (2.0, "x-tokens", 1000)
    member.acknowledge(1, policy.generation)
    assert grants.assignment(policy, member, Amounts(1.0, 1.0, 1.0), 2, "").settings is None
