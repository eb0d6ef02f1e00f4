import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forefill_operator.shadow import Shadow
from forefill_operator.trust import NEWCOMER_WINDOWS, RECOVERY, Claim, Trust, loss

AMOUNTS = st.floats(0.0, 1e9)


class Client:
    """Noisy demand around a level that the client knows; `scale` is how it lies."""

    def __init__(self, seed: int, level: float = 100.0, noise: float = 25.0) -> None:
        self.generator = random.Random(seed)
        self.level, self.noise = level, noise
        self.shadow, self.trust = Shadow(), Trust()

    def run(self, windows: int, scale: float = 1.0) -> float:
        """The lowest trust of those windows."""
        lowest = 1.0
        for _ in range(windows):
            rate = max(self.generator.gauss(self.level, self.noise), 0.0)
            mean, spread = self.level, self.noise
            claim = Claim(scale * mean, scale * (mean + 1.28 * spread), scale * (mean + 1.64 * spread))
            self.trust.score(claim, self.shadow, rate)
            self.shadow.observe(rate)
            lowest = min(lowest, self.trust.value)
        return lowest


def test_honest_clients_are_trusted_but_for_one_window_in_two_hundred() -> None:
    doubted = 0
    for seed in range(20):
        client = Client(seed)
        for _ in range(1000):
            client.run(1)
            doubted += client.trust.value < 0.5
    assert doubted / 20_000 < 0.005


@pytest.mark.parametrize("scale", [0.0, 0.5, 0.7, 1.5, 3.0, 1e6])
@pytest.mark.parametrize("seed", range(5))
def test_a_scaled_forecast_loses_its_trust_within_thirty_windows(seed: int, scale: float) -> None:
    client = Client(seed)
    client.run(200)
    client.run(30, scale)
    assert client.trust.value < 0.2


@pytest.mark.parametrize("scale", [0.5, 1.5, 3.0])
def test_who_lies_never_gets_trust_back(scale: float) -> None:
    client = Client(1)
    client.run(60, scale)
    for _ in range(300):
        client.run(1, scale)
        assert client.trust.value < 0.2


def test_build_and_burn_costs_more_windows_than_it_gains() -> None:
    client = Client(2)
    client.run(200)
    believed = []
    for _ in range(20):
        client.run(10, 3.0)
        believed.append(client.trust.value)
        client.run(20)
    assert max(believed[1:]) < 0.1


def test_forgiveness_is_slow() -> None:
    client = Client(3)
    client.run(200)
    client.run(30, 3.0)
    before = client.trust.value
    for _ in range(100):
        client.run(1)
        assert client.trust.value <= before + RECOVERY + 1e-12
        before = client.trust.value
    client.run(200)
    assert client.trust.value > 0.9


def test_only_a_p95_that_lies_costs_trust_too() -> None:
    client = Client(4)
    client.run(200)
    for _ in range(60):
        rate = client.generator.gauss(100.0, 25.0)
        client.trust.score(Claim(100.0, 132.0, 1000.0), client.shadow, rate)
        client.shadow.observe(rate)
    assert client.trust.value < 0.2


def test_a_pardon_restores_trust_and_keeps_skill() -> None:
    client = Client(8)
    client.run(60, 3.0)
    skill = client.trust.skill
    client.trust.pardon()
    assert (client.trust.value, client.trust.skill) == (1.0, skill)
    client.run(30, 3.0)
    assert client.trust.value < 0.2


def test_the_sentence_says_by_how_much() -> None:
    client = Client(9)
    client.run(100, 1.5)
    assert client.trust.sentence(client.shadow.usual).startswith("its forecasts cost ")
    assert "+" in client.trust.sentence(client.shadow.usual)


def test_windows_of_rest_teach_nothing_of_trust() -> None:
    client = Client(5)
    client.run(200)
    scored = client.trust.scored
    for _ in range(5):
        client.trust.score(Claim(300.0, 300.0, 300.0), client.shadow, 0.05 * client.shadow.usual)
    assert (client.trust.scored, client.trust.value) == (scored, 1.0)


def test_a_client_that_mostly_rests_is_not_doubted_for_missing_when_it_will_not() -> None:
    """Its few requests come in clumps. All that anybody can forecast lies far below what active windows bring."""
    doubted = scored = 0
    for seed in range(10):
        generator, shadow, trust, was_active = random.Random(seed), Shadow(), Trust(), False
        for _ in range(1500):
            chance = 0.33 if was_active else 0.03
            was_active = generator.random() < chance
            rate = generator.choice([0.1, 0.1, 0.2, 0.3]) if was_active else 0.0
            high = 0.175 if chance > 0.1 else 0.0
            trust.score(Claim(0.175 * chance, high, 1.2 * high), shadow, rate)
            doubted += rate > 0.0 and trust.value < 0.5
            shadow.observe(rate)
        scored += trust.scored
    assert doubted < 0.005 * scored


def test_a_newcomer_is_one_for_thirty_active_windows() -> None:
    client = Client(6)
    client.run(NEWCOMER_WINDOWS - 1)
    assert client.trust.is_newcomer
    client.run(1)
    assert not client.trust.is_newcomer


def test_a_client_that_knows_more_than_its_past_shows_skill() -> None:
    generator, shadow, trust = random.Random(7), Shadow(), Trust()
    for _ in range(500):
        rate = generator.choice([20.0, 200.0])
        trust.score(Claim(rate, rate, rate), shadow, rate)
        shadow.observe(rate)
    assert trust.skill > 0.9
    assert trust.value == 1.0


def test_the_loss_charges_what_was_missing_more_the_higher_the_quantile() -> None:
    assert loss(10.0, 10.0, 10.0, 20.0) == pytest.approx((5.0 + 9.0 + 9.5) / 3.0)
    assert loss(20.0, 20.0, 20.0, 10.0) == pytest.approx((5.0 + 1.0 + 0.5) / 3.0)
    assert loss(10.0, 10.0, 10.0, 10.0) == 0.0


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS), min_size=1, max_size=50))
@example([(0.0, 0.0, 0.0, 2.2250738585e-313), *[(0.0, 0.0, 0.0, 1.0)] * 3])
def test_whatever_is_claimed_trust_stays_in_its_bounds(windows: list[tuple[float, float, float, float]]) -> None:
    shadow, trust = Shadow(), Trust()
    for mean, p90, p95, rate in windows:
        trust.score(Claim(mean, p90, p95), shadow, rate)
        shadow.observe(rate)
        assert 0.0 <= trust.value <= 1.0
        assert trust.skill <= 1.0
