"""The edge that sidecars talk to: sessions over TLS, messages in, messages out. Decisions are the controller's."""

import asyncio
import ssl
import time
from collections.abc import Callable, Sequence
from math import ceil

from msgspec.structs import replace

from forefill_operator import tickets, vouching
from forefill_operator.acceptor import Acceptor, Arrival
from forefill_operator.controller import Controller, Deliveries
from forefill_operator.door import Admitted, Door
from forefill_operator.door_metrics import DoorMetrics
from forefill_operator.identity import Authenticator
from forefill_operator.metrics import Metrics
from forefill_operator.policy import TokenPolicy
from forefill_operator.profiles.profiles import Profiles
from forefill_operator.session import CLOSE_AFTER_BAD_FRAMES, MESSAGES_PER_SECOND, Session
from forefill_operator.tickets import BadTicket, Key
from forefill_operator.upgrade import Upgrade
from forefill_protocol import bundle, codec, messages

__all__ = ["CLOSE_AFTER_BAD_FRAMES", "MESSAGES_PER_SECOND", "Session", "StreamServer"]

# A frame over the protocol's bound is refused with a sentence; one over this is not even read to its end.
HARD_FRAME_BYTES = 4 * codec.MAX_FRAME_BYTES
# How often some streams are looked at for what is overdue: so many that all have been within five seconds. Of those
# that came on a ticket some are reviewed, so many a turn that all have been within half of a ticket's life.
SWEEP_SECONDS = 1.0
SWEPT_AT_LEAST, SWEEP_ALL_SECONDS = 500, 5.0
REVIEWS_AT_ONCE = 20
REVIEW_ALL_SECONDS = tickets.LIFE_SECONDS / 2

Clock = Callable[[], float]


class StreamServer:
    """Serves every sidecar of one operator; `deliver` pushes to any of them.

    `clock` is monotonic, `wall_clock` since 1970. `keys` sign tickets; without any, tickets end with the process.
    """

    def __init__(
        self,
        controller: Controller,
        authenticator: Authenticator,
        metrics: Metrics,
        clock: Clock,
        *,
        keys: Callable[[], Sequence[Key]] | None = None,
        ready: Callable[[], str | None] = lambda: None,
        wall_clock: Clock = time.time,
        profiles: Profiles | None = None,
    ) -> None:
        own = (tickets.make_key(wall_clock()),)
        self.controller = controller
        self.metrics = metrics
        self.profiles = profiles or Profiles(controller.policy, metrics.registry)
        self.door_metrics = DoorMetrics(metrics.registry)
        self.clock = clock
        self.wall_clock = wall_clock
        self._keys: Callable[[], Sequence[Key]] = keys or (lambda: own)
        self.door = Door(authenticator, self._keys, self.door_metrics, wall_clock, ready)
        self._named: dict[str, tuple[TokenPolicy, Sequence[str]]] = {}
        self.trust("")
        self.sessions: dict[str, Session] = {}
        self.open: dict[Session, None] = {}
        self.ended = 0
        self._unreviewed: dict[Session, None] = {}
        self._acceptor = Acceptor(self._upgrade, self.door_metrics, clock)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, host: str, port: int, context: ssl.SSLContext, shares_port: bool = False) -> int:
        """Listen; the port in use. Raises OSError when the address can't be had."""
        port = self._acceptor.start(host, port, context, shares_port)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._sweep_for_ever()), loop.create_task(self._review_for_ever())]
        return port

    async def close(self, reason: str) -> None:
        """Tell every sidecar to come back, then close."""
        self._acceptor.stop()
        for task in self._tasks:
            task.cancel()
        for number, session in enumerate(list(self.open)):
            session.close(messages.Bye(reason=reason, reconnect_after_seconds=1.0 + (number % 100) / 50.0))
        await self._acceptor.close()

    def deliver(self, deliveries: Deliveries) -> None:
        """Send each message to the pod it names; a pod without a stream gets its grant with its next Hello."""
        for pod_uid, message in deliveries:
            if isinstance(message, messages.Refused):
                self.metrics.entry_refused(message.code)
            if session := self.sessions.get(pod_uid):
                session.send(message)

    # Streams

    def _upgrade(self, arrival: Arrival) -> Upgrade:
        return Upgrade(
            arrival,
            messages.STREAM_PATH.encode(),
            self.door.admit,
            self._session,
            self.metrics.upgrade_rejected,
            HARD_FRAME_BYTES,
        )

    def _session(self, admitted: Admitted, arrival: Arrival) -> Session:
        return Session(self, admitted, arrival)

    def opened(self, session: Session) -> None:
        self.open[session] = None
        self.door.streams.enter(session.pod_uid)
        if session.admitted.token is not None:
            self._unreviewed[session] = None

    def introduce(self, session: Session) -> None:
        """From its hello on the stream is the pod's: what is pushed earlier would be counted from a later hello."""
        earlier = self.sessions.get(session.pod_uid)
        self.sessions[session.pod_uid] = session
        self.metrics.streams(len(self.sessions))
        if earlier is not None:
            self.door_metrics.stream_ended("replaced")
            earlier.transport.disconnect()

    def closed(self, session: Session) -> None:
        if session not in self.open:
            return
        del self.open[session]
        self.ended += 1
        self._unreviewed.pop(session, None)
        self.door.streams.leave(session.pod_uid)
        if self.sessions.get(session.pod_uid) is session:
            del self.sessions[session.pod_uid]
            self.controller.disconnected(session.pod_uid, self.clock())
        self.metrics.streams(len(self.sessions))

    async def _sweep_for_ever(self) -> None:
        waiting: list[Session] = []
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            waiting = waiting or list(self.open)
            turn = max(SWEPT_AT_LEAST, ceil(len(self.open) * SWEEP_SECONDS / SWEEP_ALL_SECONDS))
            self.sweep(waiting[:turn])
            del waiting[:turn]

    def sweep(self, sessions: Sequence[Session] | None = None) -> None:
        """End what is overdue of these, else of all."""
        now, wall_now = self.clock(), self.wall_clock()
        for session in list(self.open) if sessions is None else [each for each in sessions if each in self.open]:
            if why := session.overdue(now, wall_now):
                session.end(*why)
        self.door_metrics.ca_unacknowledged(self.lagging())

    async def _review_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self.review()

    async def review(self) -> None:
        """Ask about some of those who came on a ticket, in their order, as long as there are answers."""
        turn = max(REVIEWS_AT_ONCE, ceil(len(self._unreviewed) * SWEEP_SECONDS / REVIEW_ALL_SECONDS))
        waiting = list(self._unreviewed)[:turn]
        for start in range(0, turn, REVIEWS_AT_ONCE):
            some = waiting[start : start + REVIEWS_AT_ONCE]
            answered = await asyncio.gather(*(session.review() for session in some))
            for session, has_answer in zip(some, answered, strict=True):
                if has_answer:
                    self._unreviewed.pop(session, None)
            if not all(answered):
                return

    # Tickets and authorities

    def trust(self, ca_bundle: str) -> None:
        """The PEM bundle that sidecars are to know this operator by from now on."""
        self._ca_bundle, self._ca_fingerprint = ca_bundle, bundle.fingerprint(ca_bundle)

    def lagging(self) -> int:
        """Streams whose sidecar has not said that it trusts the bundle in force."""
        if not self._ca_fingerprint:
            return 0
        return sum(session.ca_fingerprint != self._ca_fingerprint for session in self.open)

    def stamped(self, assignment: messages.Assignment, session: Session) -> messages.Assignment:
        """With a ticket; once a stream with the CA bundle when the sidecar does not name it, and with what it inherits.

        A pod that holds no grant when it greets is new: what its workload usually offers goes to it with the answer.
        """
        now, admitted = self.wall_clock(), session.admitted
        policy = self.controller.policy(assignment.policy)
        named = self._named_labels(policy) if policy else ()
        ticket = vouching.ticket_of(
            assignment, admitted.client, named, admitted.digest, admitted.vouched_until(now), now
        )
        ca_bundle = ""
        if self._ca_fingerprint not in (session.ca_fingerprint, session.sent_ca):
            ca_bundle, session.sent_ca = self._ca_bundle, self._ca_fingerprint
        inherited = None
        if assignment.answers == 0 and assignment.policy in session.new_to:
            session.new_to -= {assignment.policy}
            inherited = self.profiles.inherited(admitted.client, assignment.policy, self.clock())
        seal = tickets.seal(ticket, tickets.signing(self._keys(), now))
        return replace(assignment, ticket=seal, ca_bundle=ca_bundle, inherited=inherited)

    def _named_labels(self, policy: TokenPolicy) -> Sequence[str]:
        """Of the newest policy of its name."""
        found = self._named.get(policy.key)
        if found is None or found[0] is not policy:
            found = self._named[policy.key] = policy, vouching.named_labels(policy)
        return found[1]

    def proven(self, session: Session, holding: messages.Holding) -> messages.Holding:
        """What an operator that has just started may believe."""
        policy = self.controller.policy(holding.policy)
        if policy is None or holding.grant_sequence == 0:
            return holding
        try:
            believed = vouching.proven(holding, session.pod_uid, policy, self._keys(), self.wall_clock())
        except BadTicket as bad:
            self.door_metrics.ticket("proves", str(bad))
            return vouching.unproven(holding)
        self.door_metrics.ticket("proves", "good")
        return believed
