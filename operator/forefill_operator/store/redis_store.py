"""The store in Valkey or Redis: one server, one watched by Sentinel, or a cluster."""

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import redis.asyncio as redis
import redis.exceptions as errors

from forefill_operator.store import connection, scripts
from forefill_operator.store.address import StoreAddress
from forefill_operator.store.faults import fault_of
from forefill_operator.store.interface import OWNER_SECONDS, Batch, Claim, Outcome, Owner, StoreFault

# In every key: another schema has other keys, so that two versions never read each other's.
PREFIX = "forefill:1:"
# Commands of one round trip; more of them take several.
MOST_TOGETHER = 256
# Records outlive any lease by far, and go when a policy is served no more.
RECORD_MILLISECONDS = 86_400_000
LISTEN_AGAIN_SECONDS = 0.5
_OWNER_MILLISECONDS = int(OWNER_SECONDS * 1000)
# Everything that a call may raise when the store misbehaves; ValueError: an answer of the wrong shape.
_FAULTS = (errors.RedisError, errors.RedisClusterException, OSError, ValueError, LookupError)
# A script's keys and arguments; a command's words.
_Call = tuple[Sequence[str], Sequence[Any]]
_Command = tuple[Any, ...]


class RedisStore:
    """See `interface`. Keys of one policy share a hash tag, so that a cluster keeps them on one node."""

    def __init__(self, address: StoreAddress, password: str = "", ca_file: str | None = None) -> None:
        self._address = address
        self._client: Any = connection.client(address, password, ca_file)
        self._shas: dict[str, str] = {}

    async def beat(self, operator: str) -> tuple[str, ...]:
        names = await self._run(scripts.BEAT, [f"{PREFIX}operators"], [operator, _OWNER_MILLISECONDS])
        return tuple(sorted(_text(name) for name in names))

    async def leave(self, operator: str) -> None:
        await self._ask(lambda: self._client.zrem(f"{PREFIX}operators", operator))

    async def life(self) -> str:
        """The server's run id, or the cluster's epoch: both change when a replica takes over.

        Raises StoreFault, too, for a server that is too old or that may evict what must not be lost.
        """
        if self._address.kind == "cluster":
            told = await self._ask(lambda: self._client.execute_command("CLUSTER INFO", target_nodes=_any_node()))
            return f"cluster-{dict(told).get('cluster_current_epoch', '?')}"
        return str(await self._ask(self._run_id))

    async def _run_id(self) -> str:
        info = await self._client.info()
        connection.check(info)
        return str(info["run_id"])

    async def owners(self, keys: Sequence[str]) -> list[Owner | None]:
        if not keys:
            return []
        names = [_key(key, "owner") for key in keys]
        return list(await self._ask(lambda: self._owners(names)))

    async def claim(self, key: str, operator: str, life: str) -> Claim | None:
        keys = [_key(key, "owner"), _key(key, "epoch"), _key(key, "whole")]
        epoch, whole = await self._run(scripts.CLAIM, keys, [operator, _OWNER_MILLISECONDS, life])
        return Claim(int(epoch), bool(whole)) if epoch else None

    async def confirm(self, key: str, life: str) -> None:
        await self._ask(lambda: self._client.set(_key(key, "whole"), life))

    async def keep(self, owned: Mapping[str, int], operator: str) -> set[str]:
        calls = [
            (_owner_and_records(key), [_named(Owner(operator, epoch)), _OWNER_MILLISECONDS, RECORD_MILLISECONDS])
            for key, epoch in owned.items()
        ]
        keys = list(owned)
        answers = await self._run_all(scripts.KEEP, calls)
        return {key for key, kept in zip(keys, answers, strict=True) if kept}

    async def release(self, key: str, owner: Owner) -> None:
        await self._run(scripts.RELEASE, [_key(key, "owner")], [_named(owner)])

    async def write(self, batches: Sequence[Batch], messages: Mapping[str, bytes] = {}) -> list[Outcome]:
        calls = [(_owner_and_records(batch.key), _written(batch)) for batch in batches]
        published = [("PUBLISH", _channel(operator), message) for operator, message in messages.items()]
        replies = (await self._try_all(scripts.WRITE, calls, published))[len(published) :]
        return [fault_of(reply) if isinstance(reply, Exception) else bool(reply) for reply in replies]

    async def records(self, key: str) -> dict[str, bytes]:
        found = await self._ask(lambda: self._client.hgetall(_key(key, "records")))
        return {_text(uid): record for uid, record in found.items()}

    async def some_records(self, key: str, pod_uids: Sequence[str]) -> list[bytes]:
        found = await self._ask(lambda: self._client.hmget(_key(key, "records"), list(pod_uids)))
        return [record or b"" for record in found]

    async def listen(self, operator: str, receive: Callable[[bytes], None]) -> None:
        while True:
            try:
                await self._subscribed(operator, receive)
            except _FAULTS:
                # The beat meets the same fault and says so.
                await asyncio.sleep(LISTEN_AGAIN_SECONDS)

    async def close(self) -> None:
        await connection.close(self._client)

    async def _subscribed(self, operator: str, receive: Callable[[bytes], None]) -> None:
        # A cluster's client knows no server to subscribe at before its first call.
        await self._client.initialize()
        async with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(_channel(operator))
            while True:
                message = await subscription.get_message(timeout=connection.CALL_SECONDS / 2)
                if message is not None and message["type"] == "message":
                    receive(message["data"])

    async def _owners(self, names: list[str]) -> list[Owner | None]:
        many = self._client.mget_nonatomic if self._address.kind == "cluster" else self._client.mget
        return [_owner(value) for value in await many(names)]

    # Scripts

    async def _run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        return (await self._run_all(script, [(keys, arguments)]))[0]

    async def _run_all(self, script: str, calls: Sequence[_Call]) -> list[Any]:
        replies = await self._try_all(script, calls)
        for reply in replies:
            if isinstance(reply, Exception):
                raise fault_of(reply) from None
        return replies

    async def _try_all(self, script: str, calls: Sequence[_Call], before: Sequence[_Command] = ()) -> list[Any]:
        """Replies or errors of the commands `before` and then of the script, in one round trip."""
        sha = self._shas.get(script) or await self._load(script)
        evals = [("EVALSHA", sha, len(keys), *keys, *arguments) for keys, arguments in calls]
        replies = await self._together([*before, *evals])
        if any(isinstance(reply, errors.NoScriptError) for reply in replies):
            await self._load(script)
            again = [place for place, reply in enumerate(replies) if isinstance(reply, errors.NoScriptError)]
            for place, reply in zip(
                again, await self._together([evals[place - len(before)] for place in again]), strict=True
            ):
                replies[place] = reply
        return replies

    async def _load(self, script: str) -> str:
        sha = self._shas[script] = str(await self._ask(lambda: self._client.script_load(script)))
        return sha

    async def _together(self, commands: Sequence[_Command]) -> list[Any]:
        replies: list[Any] = []
        for first in range(0, len(commands), MOST_TOGETHER):
            replies += await self._ask(functools.partial(self._send, commands[first : first + MOST_TOGETHER]))
        return replies

    async def _send(self, commands: Sequence[_Command]) -> list[Any]:
        async with self._client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            replies: list[Any] = await pipe.execute(raise_on_error=False)
        return replies

    async def _ask(self, call: Callable[[], Any]) -> Any:
        try:
            async with asyncio.timeout(connection.CALL_SECONDS):
                return await call()
        except TimeoutError:
            raise StoreFault(
                "StoreUnavailable", f"the store did not answer within {connection.CALL_SECONDS:g} s"
            ) from None
        except _FAULTS as error:
            raise fault_of(error) from None


def _any_node() -> str:
    return str(redis.RedisCluster.RANDOM)


def _key(key: str, what: str) -> str:
    return f"{PREFIX}{{{key}}}:{what}"


def _owner_and_records(key: str) -> list[str]:
    return [_key(key, "owner"), _key(key, "records")]


def _written(batch: Batch) -> list[Any]:
    """Arguments of the script that writes it."""
    kept = [word for pair in batch.records.items() if pair[1] for word in pair]
    forgotten = [pod_uid for pod_uid, record in batch.records.items() if not record]
    published = [word for operator, message in batch.messages.items() for word in (_channel(operator), message)]
    return [_named(batch.owner), len(kept), *kept, len(forgotten), *forgotten, *published]


def _channel(operator: str) -> str:
    return f"{PREFIX}to:{operator}"


def _named(owner: Owner) -> str:
    return f"{owner.operator} {owner.epoch}"


def _text(name: bytes) -> str:
    """Raises StoreFault."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise StoreFault("StoreGarbled", f"the store holds the name {name!r}, which is no text") from None


def _owner(value: bytes | None) -> Owner | None:
    if value is None:
        return None
    operator, _, epoch = value.decode().rpartition(" ")
    return Owner(operator, int(epoch))
