"""Controllers beside each other on demands whose outcome is known."""

from collections.abc import Callable

import numpy as np
import pytest

from forefill_lab.simulator.controllers.doorman import fair_share
from forefill_lab.simulator.demand import Demand, demand
from forefill_lab.simulator.simulate import CONTROLLERS, Simulation
from forefill_lab.simulator.totals import Totals
from forefill_operator.policy import TokenPolicy

MakePolicy = Callable[..., TokenPolicy]
Poisson = Callable[[list[float], int], Demand]


def steady(*rates: float, ticks: int = 60) -> Demand:
    return demand(np.tile(rates, (ticks, 1)), 1.0, [f"c{index}" for index in range(len(rates))])


def totals(policy: TokenPolicy, wanted: Demand, controller: str, warm_up: int = 0) -> Totals:
    simulation = Simulation(policy, wanted, controller, warm_up=warm_up)
    for _ in simulation.run():
        pass
    return simulation.recorder.totals(controller)


def test_an_equal_part_is_not_enough_for_whom_it_is_too_small(make_policy: MakePolicy) -> None:
    """10/s for a client that asks for 15 and waits at most 5 s: what is served is late, the rest is dropped."""
    found = totals(make_policy(20.0), steady(15.0, 1.0), "static", warm_up=30)
    assert found.on_time_share == pytest.approx(1 / 16, abs=0.01)
    assert found.dropped == pytest.approx(30 * 5.0, rel=0.05)
    assert (found.worst_client, found.worst_on_time_share) == ("c0", 0.0)
    assert found.capacity_used == pytest.approx(11 / 20, abs=0.01)


@pytest.mark.parametrize("controller", ["max-min", "ewma", "static-weighted", "oracle", "central", "forefill"])
def test_whoever_knows_who_asks_serves_steady_demand_on_time(make_policy: MakePolicy, controller: str) -> None:
    found = totals(make_policy(20.0), steady(15.0, 1.0, ticks=90), controller, warm_up=60)
    assert (found.on_time_share, found.dropped, found.over_grant) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("controller", sorted(CONTROLLERS))
def test_no_token_is_lost_or_made(make_policy: MakePolicy, poisson: Poisson, controller: str) -> None:
    wanted = poisson([9.0, 6.0, 3.0, 0.2], 120)
    simulation = Simulation(make_policy(20.0), wanted, controller)
    for _ in simulation.run():
        pass
    for client, offered in enumerate(wanted.tokens.sum(axis=0).tolist()):
        recorder, flow = simulation.recorder, simulation.running.flow(client)
        gone = recorder.on_time[client] + recorder.late[client] + recorder.dropped[client]
        assert gone + flow.waiting == pytest.approx(offered)


@pytest.mark.parametrize("controller", ["static", "static-weighted", "max-min", "ewma", "doorman", "central", "oracle"])
def test_divisions_never_hand_out_more_than_there_is(
    make_policy: MakePolicy, poisson: Poisson, controller: str
) -> None:
    assert totals(make_policy(20.0), poisson([9.0, 6.0, 9.0, 0.2], 120), controller).over_grant == 0.0


def test_who_knows_what_comes_is_not_beaten_but_by_one_bucket_for_all(
    make_policy: MakePolicy, poisson: Poisson
) -> None:
    wanted = poisson([9.0, 5.0, 2.5, 1.0], 600)
    late = [totals(make_policy(20.0), wanted, each, 30).late_share for each in ("central", "oracle", "ewma", "static")]
    assert late == sorted(late)


@pytest.mark.parametrize(
    ("wants", "shares"),
    [
        ([1000.0, 50.0, 10.0], [60.0, 50.0, 10.0]),
        ([10.0, 20.0, 30.0], [10.0, 20.0, 30.0]),
        ([100.0, 100.0, 100.0], [40.0, 40.0, 40.0]),
    ],
)
def test_doorman_shares_as_its_documentation_says(wants: list[float], shares: list[float]) -> None:
    assert fair_share(120.0, wants) == pytest.approx(shares)
