"""Forefill's own code on the virtual clock, through everything that may go wrong, with its invariants watched."""

import io
from collections.abc import Callable

import msgspec
import pytest

from forefill_lab.simulator.capacity import Capacity
from forefill_lab.simulator.conditions import Conditions, Restart
from forefill_lab.simulator.controllers.fleet import Fleet
from forefill_lab.simulator.controllers.pod import identity
from forefill_lab.simulator.demand import Demand, read
from forefill_lab.simulator.expect import Declaration
from forefill_lab.simulator.invariants import Broken
from forefill_lab.simulator.lies import Lie
from forefill_lab.simulator.simulate import Simulation
from forefill_operator.client import Client
from forefill_operator.controller import Controller, Deliveries
from forefill_operator.policy import TokenPolicy
from forefill_protocol.messages import Assignment, Report

MakePolicy = Callable[..., TokenPolicy]
Poisson = Callable[[list[float], int], Demand]

TROUBLE = Conditions(
    delay_seconds=0.3,
    loss=0.02,
    skew=0.005,
    stragglers={1: 4.0},
    restarts=(Restart(60.0, 2.0), Restart(150.0, 50.0)),
)


def finished(simulation: Simulation) -> Simulation:
    for _ in simulation.run():
        pass
    return simulation


@pytest.mark.parametrize("seed", range(4))
def test_invariants_hold_through_lost_messages_restarts_skew_stragglers_and_lies(
    make_policy: MakePolicy, poisson: Poisson, seed: int
) -> None:
    told = {2: Lie("forecast", 3.0), 3: Lie("meter", 5.0), 4: Lie("burn", 3.0, 5, 5)}
    wanted = poisson([6.0, 5.0, 4.0, 3.0, 1.0, 0.1], 300)
    finished(Simulation(make_policy(20.0), wanted, conditions=TROUBLE, lies=told, seed=seed))


def test_invariants_hold_while_the_capacity_rises_and_falls(make_policy: MakePolicy, poisson: Poisson) -> None:
    capacity = Capacity([20.0, 8.0, 30.0, 12.0], [0.0, 50.0, 100.0, 150.0])
    finished(Simulation(make_policy(20.0), poisson([4.0] * 4, 240), capacity=capacity))


def test_the_same_seed_gives_the_same_ticks(make_policy: MakePolicy, poisson: Poisson) -> None:
    written = []
    for _ in range(2):
        file = io.StringIO()
        finished(Simulation(make_policy(20.0), poisson([9.0, 6.0, 3.0], 90), conditions=TROUBLE, seed=7, ticks=file))
        written.append(file.getvalue())
    assert written[0] == written[1]


def test_clients_come_with_their_first_row_and_go_after_their_last(make_policy: MakePolicy) -> None:
    rows = [*(f"{tick},stays,3" for tick in range(90)), *(f"{tick},guest,4" for tick in range(30, 60))]
    simulation = Simulation(make_policy(20.0), read(["t,client,tokens", *rows]))
    fleet, seen = simulation.running, {}
    assert isinstance(fleet, Fleet)
    for tick in simulation.run():
        seen[tick] = sorted(fleet.pods)
    assert (seen[29], seen[30], seen[60], seen[70]) == (["stays"], ["guest", "stays"], ["stays"], ["stays"])


def test_observe_holds_nobody_up(make_policy: MakePolicy, poisson: Poisson) -> None:
    simulation = finished(Simulation(make_policy(5.0, mode="Observe"), poisson([9.0, 6.0], 60)))
    found = simulation.recorder.totals("forefill")
    assert (found.on_time_share, found.dropped) == (1.0, 0.0)


def test_declared_work_reaches_the_operator(make_policy: MakePolicy) -> None:
    """A client that is silent until its work of 15 tokens/s begins: declared before, the rate is there."""
    rows = [*(f"{tick},busy,12" for tick in range(90)), *(f"{tick},batch,{15 * (tick >= 60)}" for tick in range(90))]
    wanted = read(["t,client,tokens", *rows])
    shares = []
    for declared in ([], [Declaration(30.0, 1, 60.0, 30.0, 450.0)]):
        simulation = finished(Simulation(make_policy(40.0), wanted, declarations=declared, warm_up=50))
        shares.append(simulation.recorder.on_time[1] / 450.0)
    assert shares[1] >= shares[0]
    assert shares[1] > 0.95


def test_a_liar_loses_the_trust_that_an_honest_client_keeps(make_policy: MakePolicy, poisson: Poisson) -> None:
    wanted = poisson([6.0, 6.0, 3.0], 600)
    simulation = finished(Simulation(make_policy(20.0), wanted, lies={0: Lie("forecast", 3.0)}))
    (_, liar, _), (_, honest, _) = (simulation.running.outlook(client) for client in (0, 1))
    assert (liar < 0.2, honest > 0.5) == (True, True)


class Generous(Controller):
    """Doubles every rate behind its own ledger's back."""

    def report(self, client: Client, report: Report, now: float) -> Deliveries:
        return [
            (uid, msgspec.structs.replace(message, fill_rate=2 * message.fill_rate))
            if isinstance(message, Assignment)
            else (uid, message)
            for uid, message in super().report(client, report, now)
        ]


def test_an_operator_that_hands_out_too_much_is_found_out(make_policy: MakePolicy, poisson: Poisson) -> None:
    def fleet(scene):  # type: ignore[no-untyped-def]
        return Fleet(scene, lambda first_start: Generous(first_start=first_start))

    simulation = Simulation(make_policy(20.0), poisson([9.0, 6.0, 3.0], 60), make=fleet)
    with pytest.raises(Broken, match=r"^tick \d+: rates of .* tokens/s are in use, but at most 20 may be \(1\)$"):
        finished(simulation)


def test_names_say_of_which_namespace_and_class_a_client_is(make_policy: MakePolicy) -> None:
    batch = {"name": "batch", "podSelector": {"matchLabels": {"kind": "batch"}}, "ceiling": 3}
    policy = make_policy(20.0, clients={"namespaces": ["ai", "ops"], "classes": [batch]})
    found = [identity(name, policy) for name in ("web", "ops/web", "ops/batch:1")]
    assert [(each.namespace, each.labels) for each in found] == [("ai", {}), ("ops", {}), ("ops", {"kind": "batch"})]
    rows = [f"{tick},{name},12" for tick in range(60) for name in ("batch:1", "web")]
    simulation = finished(Simulation(policy, read(["t,client,tokens", *rows])))
    assert simulation.running.granted(0) == pytest.approx(3.0)
