"""The token bucket of one client. Pure: `now` is monotonic seconds and never read from a clock here."""

from dataclasses import dataclass
from math import inf

# Rounding of `tokens + elapsed * fill_rate` must not keep out a request that waited exactly long enough. What is taken
# is always the whole cost, so the slack never adds up.
SLACK = 1e-9


@dataclass(slots=True)
class TokenBucket:
    """Gains `fill_rate` tokens a second up to `burst`.

    `tokens` is below zero while a request dearer than the burst, or a settled cost, is being paid off (debt), and above
    `burst` only while lump tokens last. A bucket that starts again after a restart starts with `tokens=0.0`.
    """

    fill_rate: float
    burst: float
    tokens: float
    updated_at: float

    def tokens_at(self, now: float) -> float:
        """Tokens at `now`; the bucket is not changed. A clock that goes back earns nothing."""
        elapsed = now - self.updated_at
        if elapsed <= 0.0 or self.tokens >= self.burst:
            return self.tokens
        return min(self.burst, self.tokens + elapsed * self.fill_rate)

    def try_take(self, now: float, cost: float) -> bool:
        """Take `cost` tokens if at least min(cost, burst) are there; the dearer request leaves a debt.

        Without a burst only lump tokens admit, and then in full. What costs nothing always passes.
        """
        elapsed = now - self.updated_at
        tokens = self.tokens
        if elapsed > 0.0:
            if tokens < self.burst:
                tokens += elapsed * self.fill_rate
                self.tokens = tokens = self.burst if tokens > self.burst else tokens
            self.updated_at = now
        if tokens + SLACK < cost and (tokens + SLACK < self.burst or self.burst <= 0.0):
            return cost <= 0.0
        self.tokens = tokens - cost
        return True

    def settle(self, now: float, difference: float, max_debt: float = inf) -> float:
        """Take `difference` more tokens, or give back when negative; answers the change that was made.

        What is taken leaves at most `max_debt` of debt, what is given back ends at the burst.
        """
        self._advance(now)
        if difference < 0.0:
            change = max(difference, min(0.0, self.tokens - self.burst))
        else:
            change = min(difference, max(0.0, self.tokens + max_debt))
        self.tokens -= change
        return change

    def retune(self, now: float, fill_rate: float, burst: float) -> None:
        """Go on at another rate. Tokens earned so far come from the old rate and are clipped to the new burst."""
        self._advance(now)
        self.tokens = min(self.tokens, burst)
        self.fill_rate, self.burst = fill_rate, burst

    def add(self, now: float, tokens: float) -> None:
        """Add lump tokens, above the burst if need be: what is admitted stays within burst + lumps + earned.

        They last until they are spent or the next `retune`; while they exceed the burst nothing is earned.
        """
        self._advance(now)
        self.tokens += tokens

    def seconds_until(self, now: float, cost: float) -> float:
        """Seconds until `try_take(now, cost)` succeeds if nobody else takes; infinite when it never will."""
        need = min(cost, self.burst) if self.burst > 0.0 else cost
        missing = need - self.tokens_at(now)
        if missing <= SLACK or cost <= 0.0:
            return 0.0
        if self.fill_rate <= 0.0 or self.burst <= 0.0:
            return inf
        return missing / self.fill_rate

    def _advance(self, now: float) -> None:
        self.tokens = self.tokens_at(now)
        self.updated_at = max(now, self.updated_at)
