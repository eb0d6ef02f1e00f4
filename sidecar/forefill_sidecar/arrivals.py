"""What a profile needs to know of requests, gathered at next to no cost while they pass and taken once a window.

Every request counts for the shares of routes and users; times, sizes and costs are kept of the first MOST_SEEN of a
window, which bounds what a busy window costs at its end.
"""

import secrets
from hashlib import blake2b
from typing import Final

from forefill_sidecar.top_shares import TopShares

MOST_SEEN: Final = 64
USERS: Final = 32
_SALT_BYTES: Final = 16


class Arrivals:
    """`user_header` names the header whose values are users, lower case; empty: nobody is told from another.

    Users are known by a hash under a salt that never leaves the pod.
    """

    __slots__ = ("costs", "request_bytes", "routes", "salt", "times", "user_header", "users")

    def __init__(self) -> None:
        self.user_header = b""
        self.salt = secrets.token_bytes(_SALT_BYTES)
        self.users = TopShares(USERS)
        self.clear()

    def clear(self) -> None:
        self.times: list[float] = []
        self.request_bytes: list[float] = []
        self.costs: list[float] = []
        # Cost by the route's place in the policy.
        self.routes: dict[int, float] = {}

    def add(self, now: float, route: int, request_bytes: float, cost: float) -> None:
        """One request first arrived at `now` (monotonic seconds)."""
        if len(self.times) < MOST_SEEN:
            self.times.append(now)
            self.request_bytes.append(request_bytes)
            self.costs.append(cost)
        self.routes[route] = self.routes.get(route, 0.0) + cost

    def add_user(self, value: bytes, cost: float) -> None:
        self.users.add(blake2b(value, digest_size=8, key=self.salt).hexdigest(), cost)
