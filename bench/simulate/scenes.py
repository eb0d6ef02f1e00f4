"""Demands made up for benchmarks: wants that wander, steps, work that is known beforehand. Tokens a tick of 1 s."""

import numpy as np
from numpy.typing import NDArray

from forefill_lab.simulator.demand import Demand, demand

Tokens = NDArray[np.float64]
CHANGE_SECONDS = 10


def named(tokens: Tokens) -> Demand:
    return demand(tokens, 1.0, [f"c{index}" for index in range(tokens.shape[1])])


def wandering(clients: int, rate: float, seconds: int, seed: int, spikes: dict[int, list[int]] | None = None) -> Tokens:
    """Every ten seconds each client's rate changes by up to a tenth of itself, up or down.

    `spikes[second]` lists clients that ask for 1,000 more from then on, wandering on from there.
    """
    chance = np.random.default_rng(seed)
    rates = np.full(clients, rate)
    tokens = np.zeros((seconds, clients))
    for second in range(seconds):
        if second % CHANGE_SECONDS == 0:
            rates = rates * (1 + 0.1 * chance.uniform(-1.0, 1.0, clients))
        for client in (spikes or {}).get(second, ()):
            rates[client] = 1000.0
        tokens[second] = rates
    return tokens


def poisson(rates: list[float], seconds: int, seed: int) -> Tokens:
    return np.random.default_rng(seed).poisson(rates, (seconds, len(rates))).astype(float)
