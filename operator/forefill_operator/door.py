"""Who is let in, and on what: a token that the API server knows, or a ticket that says it knew it lately.

With a ticket the stream opens at once and the token is reviewed afterwards, so that the restart of an operator is no
storm of reviews and the API server may be away for a while.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from forefill_operator import tickets, vouching
from forefill_operator.client import Client
from forefill_operator.door_metrics import DoorMetrics
from forefill_operator.identity import Authenticator, Rejected
from forefill_operator.throttle import Crowd
from forefill_operator.tickets import BadTicket, Key, Ticket

# An earlier stream of a pod ends when the next one says hello; more at once are no sidecar's.
STREAMS_PER_POD = 4
# A sidecar has one ticket a policy.
MOST_TICKETS = 16


@dataclass(frozen=True)
class Presented:
    """What an upgrade shows. Neither part is ever printed."""

    token: str = field(repr=False)
    tickets: Sequence[bytes] = field(default=(), repr=False)


@dataclass(slots=True)
class Admitted:
    """Who holds a stream. While the API server has not been asked, `token` waits for it, at most until `review_by`.

    Times are seconds since 1970.
    """

    client: Client
    digest: bytes = field(repr=False)
    expires_at: float
    token: str | None = field(default=None, repr=False)
    review_by: float = float("inf")

    def vouched_until(self, now: float) -> float:
        """How long a ticket given now may open a stream."""
        return min(now + tickets.LIFE_SECONDS, self.expires_at, self.review_by)


class Door:
    """`keys` are those of the moment; `ready` says why nobody can be let in yet; `wall_clock` is since 1970."""

    def __init__(
        self,
        authenticator: Authenticator,
        keys: Callable[[], Sequence[Key]],
        metrics: DoorMetrics,
        wall_clock: Callable[[], float],
        ready: Callable[[], str | None],
    ) -> None:
        self.streams = Crowd()
        self._authenticator = authenticator
        self._keys = keys
        self._metrics = metrics
        self._wall_clock = wall_clock
        self._ready = ready

    async def admit(self, presented: Presented) -> Admitted:
        """Raises Rejected. Nobody is let in before the first list of policies: all would be refused for nothing."""
        if missing := self._ready():
            raise Rejected(503, missing)
        admitted = self.admit_on_tickets(presented) or await self.review(presented.token)
        if self.streams.of(admitted.client.pod_uid) >= STREAMS_PER_POD:
            raise Rejected(429, f"the pod has {STREAMS_PER_POD} streams already")
        return admitted

    def admit_on_tickets(self, presented: Presented) -> Admitted | None:
        """None when no ticket is good: then only a review can tell."""
        good: list[Ticket] = []
        now = self._wall_clock()
        for sealed in presented.tickets[:MOST_TICKETS]:
            try:
                ticket = tickets.unseal(sealed, self._keys())
                tickets.check_opens(ticket, presented.token, now)
            except BadTicket as bad:
                self._metrics.ticket("opens", str(bad))
                continue
            if not good or ticket.pod_uid == good[0].pod_uid:
                self._metrics.ticket("opens", "good")
                good.append(ticket)
        if not good:
            return None
        return Admitted(
            client=vouching.client_of(good),
            digest=tickets.digest(presented.token),
            expires_at=self._authenticator.expires_at(presented.token),
            token=presented.token,
            review_by=min(ticket.until for ticket in good),
        )

    async def review(self, token: str) -> Admitted:
        """Ask whose token it is. Raises Rejected."""
        try:
            client = await self._authenticator.authenticate(token)
        except Rejected as rejected:
            self._metrics.reviewed("unavailable" if rejected.code == 503 else "refused")
            raise
        self._metrics.reviewed("accepted")
        return Admitted(client, tickets.digest(token), self._authenticator.expires_at(token))
