"""What a client reports against what the upstream itself counted of it."""

# The upstream may count so many times more, or less: calls that failed, windows that lie otherwise, rounding.
MORE, LESS = 1.3, 1.5
# And this share of the policy's max beside it.
SLACK = 0.01
# Contradictions in a row, each an interval after the one before.
STRIKES = 3
# The range of what was reported lately closes by this share a window: counters are averaged over minutes.
CLOSING = 0.03


class Account:
    """What one client reported as admitted lately: between `low` and `high`, tokens/s."""

    __slots__ = ("_struck_at", "high", "low", "strikes")

    def __init__(self) -> None:
        self.low = self.high = 0.0
        self.strikes = 0
        self._struck_at = float("-inf")

    def observe(self, rate: float) -> None:
        """A window in which so much was admitted, tokens/s."""
        self.high = rate if rate > self.high else self.high + CLOSING * (rate - self.high)
        self.low = rate if rate < self.low else self.low + CLOSING * (rate - self.low)

    def compare(self, measured: float, max_rate: float, interval: float, now: float) -> str:
        """Why `measured` tokens/s at the upstream contradict the reports; empty unless they have done so for long."""
        slack = SLACK * max_rate
        if measured <= MORE * self.high + slack and self.low <= LESS * measured + slack:
            self.strikes = 0
            return ""
        if now < self._struck_at + interval:
            return ""
        self._struck_at = now
        self.strikes += 1
        if self.strikes < STRIKES:
            return ""
        return (
            f"it reports {self.low:.4g} to {self.high:.4g} tokens/s admitted lately where the upstream counted "
            f"{measured:.4g}, {self.strikes} intervals in a row"
        )
