"""What operators ask of their store. Keys are policies (NAMESPACE/NAME); operators are named without spaces.

A grant may leave an operator only after `write` has said True: then it owned the policy at that moment, and whoever
owns it later finds the grant among the `records`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

# An operator that has not been heard of for this long owns nothing any more.
OWNER_SECONDS = 4.0


class StoreFault(Exception):
    """The store did not do what was asked. `reason` is one CamelCase word for conditions and metrics."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class Owner(NamedTuple):
    """`epoch` rises each time a policy gets an owner: a write under an old one is refused."""

    operator: str
    epoch: int


class Claim(NamedTuple):
    """`continuous`: the records hold every grant that may be out. Otherwise some may have been lost."""

    epoch: int
    continuous: bool


class Batch(Struct, frozen=True, gc=False):
    """New records of one policy by pod uid (empty: forget it), and then messages to publish, by operator."""

    key: str
    owner: Owner
    records: Mapping[str, bytes]
    messages: Mapping[str, bytes] = {}


# A batch is recorded and published, or nothing of it: False when its owner does not own its policy any more.
Outcome = bool | StoreFault


class Store(Protocol):
    """Every method raises StoreFault."""

    async def beat(self, operator: str) -> tuple[str, ...]:
        """Say that `operator` is alive; all that are, sorted."""

    async def leave(self, operator: str) -> None:
        """`operator` ends by its own will."""

    async def life(self) -> str:
        """Names what the store has known without a break; another name: writes may have been lost."""

    async def owners(self, keys: Sequence[str]) -> list[Owner | None]:
        """In the order of `keys`."""

    async def claim(self, key: str, operator: str, life: str) -> Claim | None:
        """None while somebody else owns it."""

    async def confirm(self, key: str, life: str) -> None:
        """From here on the records of `key` are whole, as long as the store lives this `life`."""

    async def keep(self, owned: Mapping[str, int], operator: str) -> set[str]:
        """Stay the owner of these, by epoch; the keys that are still owned."""

    async def release(self, key: str, owner: Owner) -> None:
        """Give a policy away at once, if it is still owned."""

    async def write(self, batches: Sequence[Batch], messages: Mapping[str, bytes] = {}) -> list[Outcome]:
        """All of these in one round trip, `messages` by operator first. What became of each batch, in their order.

        Raises StoreFault where it is not known. Operators that do not listen miss what is published to them.
        """

    async def records(self, key: str) -> dict[str, bytes]:
        """By pod uid."""

    async def some_records(self, key: str, pod_uids: Sequence[str]) -> list[bytes]:
        """In the order of `pod_uids`, empty where there is none."""

    async def listen(self, operator: str, receive: Callable[[bytes], None]) -> None:
        """Take what others publish to `operator`, until cancelled. Faults are waited out."""

    async def close(self) -> None:
        """Let go of connections."""
