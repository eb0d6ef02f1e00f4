"""Online aggregation of experts: ML-Poly (Gaillard, Stoltz and van Erven 2014).

An expert's weight is its regret (how much less the mixture would have lost had it followed the expert), where
positive, over the sum of squared regrets, which is a learning rate of its own: nothing is tuned to the series. The
loss is the absolute error, linearised at the mixture.
"""

from dataclasses import dataclass
from operator import mul

DISCOUNT = 0.999
# Experience counts as much as the first guess after this many windows: some situations are rare.
UNPROVEN = 4.0


@dataclass(slots=True)
class Regrets:
    """What one mixture remembers of its experts, in the order in which they are given to it."""

    sums: list[float]
    squares: list[float]
    seen: int = 0

    @classmethod
    def of(cls, experts: int) -> "Regrets":
        return cls([0.0] * experts, [0.0] * experts)

    def learn(self, experts: list[float], mixture: float, actual: float) -> None:
        """Take what the experts and the mixture had forecast for a window, and what it brought."""
        self.seen += 1
        if mixture == actual:
            return
        sums, squares = self.sums, self.squares
        above = mixture > actual
        for at, expert in enumerate(experts):
            gain = mixture - expert if above else expert - mixture
            sums[at] = DISCOUNT * sums[at] + gain
            squares[at] = DISCOUNT * squares[at] + gain * gain

    def weights(self) -> list[float]:
        """One weight an expert, summing to 1: at first all on the first expert, soon what experience says."""
        pairs = zip(self.sums, self.squares, strict=True)
        earned = [total / square if total > 0.0 and square > 0.0 else 0.0 for total, square in pairs]
        together = sum(earned)
        if together == 0.0:
            return [1.0] + [0.0] * (len(earned) - 1)
        share = self.seen / (UNPROVEN + self.seen)
        weights = [weight * share / together for weight in earned]
        weights[0] += 1.0 - share
        return weights


def mix(weights: list[float], experts: list[float]) -> float:
    """The mean of the experts' forecasts under weights that sum to 1."""
    mean: float = sum(map(mul, weights, experts))
    return mean
