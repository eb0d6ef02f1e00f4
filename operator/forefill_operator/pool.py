"""The overflow pool of one policy: a bucket of the operator's that early reports draw lump tokens from. Pure.

Its rate is taken out of what the plan hands out, so that tokens from it are never handed out twice. A pool that is
leased out as rates would come too late for bursts of a second or two; lumps come with the answer.
"""

POOL_SHARE, LEAST_POOL_SHARE, POOL_SECONDS = 0.05, 0.0025, 3.0


class Pool:
    """Holds at most `depth` tokens: POOL_SECONDS of its `rate` (tokens/s), or `most_seconds`. It starts empty."""

    __slots__ = ("_at", "_tokens", "depth", "rate")

    def __init__(self, now: float) -> None:
        self.rate = self.depth = 0.0
        self._tokens = 0.0
        self._at = now

    def tokens_at(self, now: float) -> float:
        return min(self._tokens + max(now - self._at, 0.0) * self.rate, self.depth)

    def retune(self, rate: float, most_seconds: float, now: float) -> None:
        """Go on at another rate; what was earned so far is kept as far as it fits."""
        tokens = self.tokens_at(now)
        self.rate, self.depth, self._at = rate, min(POOL_SECONDS, most_seconds) * rate, now
        self._tokens = min(tokens, self.depth)

    def add(self, tokens: float, now: float) -> None:
        """Tokens that somebody gave up and nobody needs any more; what does not fit is lost."""
        self._tokens, self._at = min(self.tokens_at(now) + tokens, self.depth), max(now, self._at)

    def draw(self, wanted: float, now: float) -> float:
        """Tokens for one client's verified backlog, which are gone from the pool."""
        tokens = self.tokens_at(now)
        given = min(max(wanted, 0.0), tokens)
        self._tokens, self._at = tokens - given, max(now, self._at)
        return given
