"""A store inside one process: operators that share the object share what is in it. Nothing outlives the process."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from forefill_operator.store.interface import OWNER_SECONDS, Batch, Claim, Outcome, Owner, StoreFault


@dataclass
class _Shelf:
    """What is kept of one policy."""

    owner: Owner | None = None
    owned_until: float = 0.0
    epoch: int = 0
    whole_in: str = ""
    records: dict[str, bytes] = field(default_factory=dict)


@dataclass
class MemoryStore:
    """`fault` is raised by every call while it is set: how a store that is away looks."""

    clock: Callable[[], float]
    fault: StoreFault | None = None
    life_name: str = "life-1"
    shelves: dict[str, _Shelf] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    listeners: dict[str, Callable[[bytes], None]] = field(default_factory=dict)

    async def beat(self, operator: str) -> tuple[str, ...]:
        self._check()
        now = self.clock()
        self.seen[operator] = now
        return tuple(sorted(name for name, at in self.seen.items() if now - at < OWNER_SECONDS))

    async def leave(self, operator: str) -> None:
        self._check()
        self.seen.pop(operator, None)

    async def life(self) -> str:
        self._check()
        return self.life_name

    async def owners(self, keys: Sequence[str]) -> list[Owner | None]:
        self._check()
        return [self._owner(key) for key in keys]

    async def claim(self, key: str, operator: str, life: str) -> Claim | None:
        self._check()
        owner, shelf = self._owner(key), self.shelves.setdefault(key, _Shelf())
        if owner is not None and owner.operator != operator:
            return None
        shelf.epoch += 1
        shelf.owner, shelf.owned_until = Owner(operator, shelf.epoch), self.clock() + OWNER_SECONDS
        return Claim(shelf.epoch, shelf.whole_in == life)

    async def confirm(self, key: str, life: str) -> None:
        self._check()
        self.shelves.setdefault(key, _Shelf()).whole_in = life

    async def keep(self, owned: Mapping[str, int], operator: str) -> set[str]:
        self._check()
        kept = {key for key, epoch in owned.items() if self._owner(key) == Owner(operator, epoch)}
        for key in kept:
            self.shelves[key].owned_until = self.clock() + OWNER_SECONDS
        return kept

    async def release(self, key: str, owner: Owner) -> None:
        self._check()
        if self._owner(key) == owner:
            self.shelves[key].owner = None

    async def write(self, batches: Sequence[Batch], messages: Mapping[str, bytes] = {}) -> list[Outcome]:
        self._check()
        self._publish(messages)
        return [self._write(batch) for batch in batches]

    def _write(self, batch: Batch) -> bool:
        if self._owner(batch.key) != batch.owner:
            return False
        records = self.shelves[batch.key].records
        for pod_uid, record in batch.records.items():
            if record:
                records[pod_uid] = record
            else:
                records.pop(pod_uid, None)
        self._publish(batch.messages)
        return True

    def _publish(self, messages: Mapping[str, bytes]) -> None:
        for operator, message in messages.items():
            if receive := self.listeners.get(operator):
                receive(message)

    async def records(self, key: str) -> dict[str, bytes]:
        self._check()
        shelf = self.shelves.get(key)
        return dict(shelf.records) if shelf else {}

    async def some_records(self, key: str, pod_uids: Sequence[str]) -> list[bytes]:
        records = await self.records(key)
        return [records.get(uid, b"") for uid in pod_uids]

    async def listen(self, operator: str, receive: Callable[[bytes], None]) -> None:
        self.listeners[operator] = receive
        try:
            await asyncio.Event().wait()
        finally:
            del self.listeners[operator]

    async def close(self) -> None:
        """There is nothing to let go of."""

    def flush(self) -> None:
        """Lose everything, as a store without a disk does when it is started again."""
        self.shelves.clear()
        self.life_name += "'"

    def _owner(self, key: str) -> Owner | None:
        shelf = self.shelves.get(key)
        return shelf.owner if shelf and self.clock() < shelf.owned_until else None

    def _check(self) -> None:
        if self.fault is not None:
            raise self.fault
