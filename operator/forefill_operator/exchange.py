"""Between a replica and the store: own policies, record grants before they are sent, talk to other operators."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from forefill_operator import records, relay
from forefill_operator.controller import Deliveries
from forefill_operator.replica import Replica
from forefill_operator.store.interface import Batch, Owner, Store, StoreFault
from forefill_operator.store.metrics import StoreMetrics
from forefill_operator.store.ownership import share
from forefill_protocol import codec, messages

BEAT_SECONDS = 1.0
# Grants gather for this long before they are recorded together.
FLUSH_SECONDS = 0.01

_log = logging.getLogger("forefill.store")


class Exchange:
    """Runs beside the operator's loop. `deliver` sends to streams of this operator."""

    def __init__(
        self,
        replica: Replica,
        store: Store,
        deliver: Callable[[Deliveries], None],
        clock: Callable[[], float],
        metrics: StoreMetrics | None = None,
    ) -> None:
        self._replica = replica
        self._store = store
        self._deliver = deliver
        self._clock = clock
        self._metrics = metrics or StoreMetrics(CollectorRegistry())
        self._life = ""
        self._unconfirmed: set[str] = set()
        self._flushing = asyncio.Lock()
        self._mail_came = asyncio.Event()
        replica.outbox.ring = self._mail_came.set

    async def run(self) -> None:
        """Until cancelled; then the policies are given away at once."""
        listening = asyncio.create_task(self._store.listen(self._replica.name, self.receive))
        flushing = asyncio.create_task(self._flush_often())
        try:
            while True:
                await self.beat()
                await asyncio.sleep(BEAT_SECONDS)
        finally:
            for task in (listening, flushing):
                task.cancel()
            await asyncio.wait([listening, flushing])
            await self._leave()

    async def beat(self) -> None:
        """Say that this operator lives, hear who else does, take and give policies accordingly."""
        try:
            await self._beat()
            self._replica.fault = None
        except StoreFault as fault:
            if self._replica.fault is None or self._replica.fault.reason != fault.reason:
                _log.error("%s: nothing new is granted until it is mended", fault)
            self._replica.fault = fault
        self._metrics.beaten(self._replica.fault is None, len(self._replica.owned))

    async def _beat(self) -> None:
        replica, name = self._replica, self._replica.name
        operators = await self._store.beat(name)
        life = await self._store.life()
        if life != self._life:
            await self._record_everything(life)
        keys = sorted(replica.wants() | replica.owned.keys())
        owners = dict(zip(keys, await self._store.owners(keys), strict=True))
        replica.saw(owners, operators)
        mine = share(replica.wants(), operators, name)
        for key in replica.owned.keys() - mine:
            await self._give(key)
        for key in sorted(mine - replica.owned.keys()):
            if (owner := owners.get(key)) is None or owner.operator == name:
                await self._take(key, life)
        # What is owned may change whenever the store is waited for.
        owned = dict(replica.owned)
        for key in owned.keys() - await self._store.keep(owned, name):
            self._lost(key, owned[key])
        await self._confirm(life)
        for key, asked in replica.awaited.take_slow(self._clock()).items():
            await self._repeat(key, asked)

    # Ownership

    async def _take(self, key: str, life: str) -> None:
        claim = await self._store.claim(key, self._replica.name, life)
        if claim is None:
            return
        found = []
        for data in (await self._store.records(key)).values():
            try:
                found.append(records.decode(data))
            except records.BadRecord as bad:
                _log.warning("a record of %s can't be read: %s", key, bad)
                claim = claim._replace(continuous=False)
        if key not in self._replica.policies:
            await self._store.release(key, Owner(self._replica.name, claim.epoch))
            return
        self._replica.adopt(key, claim.epoch, found, whole=claim.continuous, now=self._clock())
        if not claim.continuous:
            self._unconfirmed.add(key)
        _log.info("serving %s (epoch %d, %d clients on record)", key, claim.epoch, len(found))

    async def _give(self, key: str) -> None:
        await self.flush()
        epoch = self._replica.owned.get(key)
        if epoch is not None:
            self._replica.drop(key)
            await self._store.release(key, Owner(self._replica.name, epoch))

    def _lost(self, key: str, epoch: int) -> None:
        """Unless it has been claimed anew meanwhile."""
        if self._replica.owned.get(key) == epoch:
            _log.warning("%s is served by another operator now", key)
            self._replica.drop(key)

    async def _confirm(self, life: str) -> None:
        """What was taken over with gaps is whole when the leases of unrecorded grants have ended."""
        self._unconfirmed &= self._replica.owned.keys()
        for key in [key for key in self._unconfirmed if self._replica.is_whole(key, self._clock())]:
            await self._store.confirm(key, life)
            self._unconfirmed.discard(key)

    async def _record_everything(self, life: str) -> None:
        """The store may have lost writes; whoever owns a policy still knows all of its grants."""
        for key in list(self._replica.owned):
            self._replica.touch(key)
            self._unconfirmed.add(key)
        await self.flush()
        self._life = life

    async def _leave(self) -> None:
        try:
            for key in list(self._replica.owned):
                await self._give(key)
            await self._store.leave(self._replica.name)
            await self._store.close()
        except StoreFault as fault:
            _log.warning("the policies could not be given away: %s", fault)

    # Messages

    async def _flush_often(self) -> None:
        while True:
            await self._mail_came.wait()
            await asyncio.sleep(FLUSH_SECONDS)
            self._mail_came.clear()
            try:
                await self.flush()
            except StoreFault as fault:
                self._replica.fault = fault
                self._metrics.failed()

    async def flush(self) -> None:
        """Record and send what has gathered. What can't be recorded is not sent: leases cover its receivers."""
        # One at a time: a record must not be overtaken by an older one of its client.
        async with self._flushing:
            await self._flush()

    async def _flush(self) -> None:
        replica, mail = self._replica, self._replica.outbox.take()
        self._deliver([refusal for refusal in mail.refusals if refusal[0] not in replica.fronts])
        changed = [key for key in {**mail.granted, **mail.touched} if key in replica.owned]
        batches = [self._batch(key, mail.granted.get(key, []), mail.touched.get(key, set())) for key in changed]
        if not batches and not mail.forwards:
            return
        with self._metrics.writing():
            forwards = {operator: relay.encode(relayed) for operator, relayed in mail.forwards.items()}
            outcomes = await self._store.write(batches, forwards)
        self._metrics.sent(sum(map(len, mail.forwards.values())))
        for batch, outcome in zip(batches, outcomes, strict=True):
            if outcome is True:
                self._recorded(mail.granted.get(batch.key, []))
            elif outcome is False:
                self._metrics.refused()
                self._lost(batch.key, batch.owner.epoch)
        for outcome in outcomes:
            if isinstance(outcome, StoreFault):
                raise outcome

    def _batch(self, key: str, granted: Deliveries, touched: set[str]) -> Batch:
        replica, book, now = self._replica, self._replica.books[key], self._clock()
        uids = touched | {uid for uid, _ in granted}
        found = {uid: records.record_of(book, uid, now) for uid in sorted(uids)}
        answers: defaultdict[str, list[relay.Relayed]] = defaultdict(list)
        for uid, message in granted:
            if front := replica.fronts.get(uid):
                answers[front].append(relay.Answer(uid, codec.encode(message)))
        return Batch(
            key,
            Owner(replica.name, replica.owned[key]),
            {uid: records.encode(record) if record else b"" for uid, record in found.items()},
            {front: relay.encode(relayed) for front, relayed in answers.items()},
        )

    def _recorded(self, granted: Deliveries) -> None:
        """What is for pods of other operators has been published to them."""
        here = [(uid, message) for uid, message in granted if uid not in self._replica.fronts]
        self._metrics.sent(len(granted) - len(here))
        self._deliver(here)

    async def _repeat(self, key: str, asked: dict[str, int]) -> None:
        """Grants on record that their pods have not acknowledged go out again as they are: their owner may be slow."""
        for uid, data in zip(asked, await self._store.some_records(key, list(asked)), strict=True):
            try:
                assignment = records.decode(data).assignment if data else None
            except records.BadRecord:
                continue
            if assignment is not None and assignment.grant_sequence > asked[uid]:
                self._deliver([(uid, assignment)])

    def receive(self, data: bytes) -> None:
        """From another operator; it is this one's task to be careful with it all the same."""
        try:
            relayed = relay.decode(data)
        except relay.BadRelay as bad:
            _log.warning("what another operator sent can't be read: %s", bad)
            return
        for message in relayed:
            self._metrics.received()
            try:
                self._receive(message)
            except (relay.BadRelay, codec.BadFrame) as bad:
                _log.warning("a message of another operator can't be read: %s", bad)

    def _receive(self, message: relay.Relayed) -> None:
        """Raises BadRelay, BadFrame."""
        replica, now = self._replica, self._clock()
        match message:
            case relay.Forwarded(front=front, client=client, message=data):
                replica.forwarded(front, client, codec.decode_up(data), now)
            case relay.Left(front=front, pod_uid=pod_uid):
                replica.left(front, pod_uid, now)
            case relay.Answer(pod_uid=pod_uid, message=data):
                answer = codec.decode_down(data)
                if isinstance(answer, messages.Assignment):
                    replica.awaited.answered(answer.policy, pod_uid)
                self._deliver([(pod_uid, answer)])
