from collections.abc import Callable

from forefill_operator.load.machine import SHORTEST_SECONDS, Machine
from forefill_operator.policy import TokenPolicy


async def test_the_machine_s_parts_are_measured_at_most_every_half_second(
    make_policy: Callable[..., TokenPolicy],
) -> None:
    now = 0.0
    machine, policy = Machine(1e9, clock=lambda: now), make_policy()
    first = await machine.read(policy)
    assert set(first) == {"cpu", "memory", "network"}
    for reading in first.values():
        assert reading.fault is None
        assert reading.value is not None
        assert 0.0 <= reading.value <= 1.0
    now += SHORTEST_SECONDS / 2
    assert await machine.read(policy) is first
    now += SHORTEST_SECONDS
    assert await machine.read(policy) is not first
    assert machine.allows(policy)
    assert await machine.rates(policy) is None
    await machine.close()


async def test_without_a_bandwidth_the_network_is_no_part(make_policy: Callable[..., TokenPolicy]) -> None:
    assert set(await Machine().read(make_policy())) == {"cpu", "memory"}
