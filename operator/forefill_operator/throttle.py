"""How often somebody may try. Pure: `now` is monotonic seconds."""

from collections.abc import Hashable

from msgspec import Struct


class Budget(Struct):
    """A token bucket of tries: `burst` at once, `per_second` in the long run."""

    per_second: float
    burst: float
    tries: float
    since: float

    def left(self, now: float) -> float:
        return min(self.burst, self.tries + max(0.0, now - self.since) * self.per_second)

    def spend(self, now: float) -> bool:
        """False, and nothing is spent, when less than one try is left."""
        self.tries, self.since = self.left(now), now
        if self.tries < 1.0:
            return False
        self.tries -= 1.0
        return True


class Throttle:
    """One budget for each key, such as an address.

    At most `most` keys are remembered, those that tried last, so memory is bounded whoever comes.
    """

    def __init__(self, per_second: float, burst: float, most: int = 10_000) -> None:
        self._per_second = per_second
        self._burst = burst
        self._most = most
        self._budgets: dict[Hashable, Budget] = {}

    def __len__(self) -> int:
        return len(self._budgets)

    def allows(self, key: Hashable, now: float) -> bool:
        """Whether `key` may try; trying is not counted yet."""
        budget = self._budgets.get(key)
        return budget is None or budget.left(now) >= 1.0

    def failed(self, key: Hashable, now: float) -> None:
        """Count one try of `key`."""
        budget = self._budgets.pop(key, None) or Budget(self._per_second, self._burst, self._burst, now)
        budget.spend(now)
        while len(self._budgets) >= self._most:
            del self._budgets[next(iter(self._budgets))]
        self._budgets[key] = budget


class Crowd:
    """How many of each key there are at once."""

    def __init__(self) -> None:
        self._counts: dict[Hashable, int] = {}
        self.total = 0

    def of(self, key: Hashable) -> int:
        return self._counts.get(key, 0)

    def enter(self, key: Hashable) -> None:
        self._counts[key] = self.of(key) + 1
        self.total += 1

    def leave(self, key: Hashable) -> None:
        count = self.of(key) - 1
        self.total -= 1
        if count > 0:
            self._counts[key] = count
        else:
            self._counts.pop(key, None)


class Pace:
    """How many messages of a stream came in the running second, and for how many seconds in a row it was too many."""

    __slots__ = ("_flooded", "_in_second", "_most", "_second")

    def __init__(self, most_per_second: int) -> None:
        self._most = most_per_second
        self._second, self._in_second, self._flooded = 0, 0, 0

    def count(self, now: float) -> int:
        """Count one message: 0 when it is within the rate, 1 for the first of a second that is not, then 2, 3, …"""
        if int(now) != self._second:
            follows = int(now) == self._second + 1 and self._in_second > self._most
            self._flooded = self._flooded + 1 if follows else 0
            self._second, self._in_second = int(now), 0
        self._in_second += 1
        return max(0, self._in_second - self._most)

    @property
    def flooded_seconds(self) -> int:
        """Full seconds before this one, in a row, in which too many came."""
        return self._flooded
