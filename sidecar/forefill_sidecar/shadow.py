"""What enforcement would do, while nothing is enforced: a second bucket whose debt is the queue. Pure."""

from forefill_sidecar.bucket import TokenBucket


class Shadow:
    """First come, first served, without urgencies. Counts tokens: those that would wait, and those refused."""

    def __init__(self, like: TokenBucket) -> None:
        self.would_wait = 0.0
        self.would_refuse = 0.0
        self._bucket = TokenBucket(like.fill_rate, like.burst, like.tokens, like.updated_at)

    def ask(self, now: float, cost: float, max_wait_seconds: float) -> None:
        """One request arrived that may wait so long."""
        seconds = self._bucket.seconds_until(now, cost)
        if seconds > max_wait_seconds:
            self.would_refuse += cost
            return
        if seconds > 0.0:
            self.would_wait += cost
        self._bucket.settle(now, cost)

    def retune(self, now: float, fill_rate: float, burst: float) -> None:
        self._bucket.retune(now, fill_rate, burst)

    def add(self, now: float, tokens: float) -> None:
        self._bucket.add(now, tokens)

    def settle(self, now: float, difference: float, max_debt: float) -> None:
        """A request that passed turned out to cost so much more."""
        self._bucket.settle(now, difference, max_debt)
