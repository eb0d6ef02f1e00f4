"""What goes wrong around a run: the network, clocks, an operator that restarts, clients that are slow. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Restart:
    """The operator ends at `at` and is back, knowing nothing, `away_seconds` later."""

    at: float
    away_seconds: float


@dataclass(frozen=True)
class Conditions:
    """`delay_seconds` is one way, `loss` the chance that a message breaks its stream, `skew` how far a client's clock
    may run fast or slow, as a part of 1, `stragglers[client]` what is added to the delay of its messages, seconds.
    """

    delay_seconds: float = 0.05
    loss: float = 0.0
    skew: float = 0.0
    stragglers: Mapping[int, float] = field(default_factory=dict)
    restarts: tuple[Restart, ...] = ()

    def delay(self, client: int) -> float:
        return self.delay_seconds + self.stragglers.get(client, 0.0)
