import random

import pytest

from forefill_sidecar.forecast.aggregation import Regrets, mix


def test_begins_with_the_first_expert() -> None:
    assert Regrets.of(3).weights() == [1.0, 0.0, 0.0]


def run(noises: list[float], windows: int = 2000) -> tuple[list[float], float, list[float]]:
    """Experts that err by these amounts around 100: the weights in the end, the mixture's loss, the experts'."""
    generator = random.Random(2)
    regrets, mixture_loss, losses = Regrets.of(len(noises)), 0.0, [0.0] * len(noises)
    for _ in range(windows):
        experts = [100.0 + generator.gauss(0.0, noise) for noise in noises]
        mixture = mix(regrets.weights(), experts)
        mixture_loss += abs(mixture - 100.0)
        losses = [loss + abs(expert - 100.0) for loss, expert in zip(losses, experts, strict=True)]
        regrets.learn(experts, mixture, 100.0)
    return regrets.weights(), mixture_loss, losses


def test_weights_sum_to_one_and_favour_the_better_expert() -> None:
    weights, _, _ = run([30.0, 1.0])
    assert sum(weights) == pytest.approx(1.0)
    assert weights[1] > 0.95


def test_a_mixture_of_independent_experts_beats_the_best_of_them() -> None:
    _, mixture_loss, losses = run([10.0, 10.0, 10.0, 10.0])
    assert mixture_loss < 0.65 * min(losses)


def test_scaling_everything_changes_no_weight() -> None:
    one, other = Regrets.of(2), Regrets.of(2)
    for experts, mixture, actual in (([3.0, 5.0], 4.0, 6.0), ([2.0, 9.0], 7.0, 1.0), ([4.0, 4.5], 4.2, 4.4)):
        one.learn(experts, mixture, actual)
        other.learn([1024.0 * each for each in experts], 1024.0 * mixture, 1024.0 * actual)
    assert other.weights() == pytest.approx(one.weights())
