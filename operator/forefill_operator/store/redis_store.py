"""The store in Valkey or Redis: one server, one watched by Sentinel, or a cluster."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import redis.asyncio as redis
import redis.exceptions as errors
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from forefill_operator.store import scripts
from forefill_operator.store.address import StoreAddress
from forefill_operator.store.faults import fault_of
from forefill_operator.store.interface import OWNER_SECONDS, Claim, Owner, StoreFault, Write

# In every key: another schema has other keys, so that two versions never read each other's.
PREFIX = "forefill:1:"
OLDEST_VERSION = (6, 0)
# A store slower than this counts as away; the next beat tries again.
CALL_SECONDS = 2.0
CONNECTIONS = 16
# Records outlive any lease by far, and go when a policy is served no more.
RECORD_MILLISECONDS = 86_400_000
LISTEN_AGAIN_SECONDS = 0.5
_OWNER_MILLISECONDS = int(OWNER_SECONDS * 1000)
# Everything that a call may raise when the store misbehaves; ValueError: an answer of the wrong shape.
_FAULTS = (errors.RedisError, OSError, ValueError, LookupError)


class RedisStore:
    """See `interface`. Keys of one policy share a hash tag, so that a cluster keeps them on one node."""

    def __init__(self, address: StoreAddress, password: str = "", ca_file: str | None = None) -> None:
        self._address = address
        self._client: Any = _client(address, password, ca_file)
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
        _check(info)
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
            ([_key(key, "owner")], [_named(Owner(operator, epoch)), _OWNER_MILLISECONDS])
            for key, epoch in owned.items()
        ]
        answers = await self._run_all(scripts.KEEP, calls)
        return {key for key, kept in zip(owned, answers, strict=True) if kept}

    async def release(self, key: str, owner: Owner) -> None:
        await self._run(scripts.RELEASE, [_key(key, "owner")], [_named(owner)])

    async def write(self, key: str, owner: Owner, writes: Sequence[Write]) -> bool:
        arguments: list[Any] = [_named(owner), RECORD_MILLISECONDS]
        for write in writes:
            arguments += (write.pod_uid, write.record, _channel(write.front), write.message)
        return bool(await self._run(scripts.WRITE, [_key(key, "owner"), _key(key, "records")], arguments))

    async def records(self, key: str) -> dict[str, bytes]:
        found = await self._ask(lambda: self._client.hgetall(_key(key, "records")))
        return {_text(uid): record for uid, record in found.items()}

    async def some_records(self, key: str, pod_uids: Sequence[str]) -> list[bytes]:
        found = await self._ask(lambda: self._client.hmget(_key(key, "records"), list(pod_uids)))
        return [record or b"" for record in found]

    async def publish(self, operator: str, messages: Sequence[bytes]) -> None:
        await self._ask(lambda: self._publish(_channel(operator), messages))

    async def _publish(self, channel: str, messages: Sequence[bytes]) -> None:
        if self._address.kind == "cluster":
            for message in messages:
                await self._client.publish(channel, message)
            return
        async with self._client.pipeline(transaction=False) as pipe:
            for message in messages:
                pipe.publish(channel, message)
            await pipe.execute()

    async def listen(self, operator: str, receive: Callable[[bytes], None]) -> None:
        while True:
            try:
                await self._subscribed(operator, receive)
            except _FAULTS:
                # The beat meets the same fault and says so.
                await asyncio.sleep(LISTEN_AGAIN_SECONDS)

    async def close(self) -> None:
        await self._client.aclose()

    async def _subscribed(self, operator: str, receive: Callable[[bytes], None]) -> None:
        async with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(_channel(operator))
            while True:
                message = await subscription.get_message(timeout=CALL_SECONDS / 2)
                if message is not None and message["type"] == "message":
                    receive(message["data"])

    async def _owners(self, names: list[str]) -> list[Owner | None]:
        many = self._client.mget_nonatomic if self._address.kind == "cluster" else self._client.mget
        return [_owner(value) for value in await many(names)]

    # Scripts

    async def _run(self, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        return (await self._run_all(script, [(keys, arguments)]))[0]

    async def _run_all(self, script: str, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> list[Any]:
        if not calls:
            return []
        try:
            answers = await self._ask(lambda: self._eval(script, calls))
        except _Unloaded:
            self._shas[script] = await self._ask(lambda: self._client.script_load(script))
            answers = await self._ask(lambda: self._eval(script, calls))
        return list(answers)

    async def _eval(self, script: str, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]) -> list[Any]:
        sha = self._shas.get(script)
        if sha is None:
            raise _Unloaded
        try:
            if self._address.kind == "cluster" or len(calls) == 1:
                return [await self._client.evalsha(sha, len(keys), *keys, *arguments) for keys, arguments in calls]
            async with self._client.pipeline(transaction=False) as pipe:
                for keys, arguments in calls:
                    pipe.evalsha(sha, len(keys), *keys, *arguments)
                return list(await pipe.execute())
        except errors.NoScriptError:
            raise _Unloaded from None

    async def _ask(self, call: Callable[[], Any]) -> Any:
        try:
            return await asyncio.wait_for(call(), CALL_SECONDS)
        except TimeoutError:
            raise StoreFault("StoreUnavailable", f"the store did not answer within {CALL_SECONDS:g} s") from None
        except _FAULTS as error:
            raise fault_of(error) from None


class _Unloaded(Exception):
    """The server does not know the script (yet, or any more)."""


def _client(address: StoreAddress, password: str, ca_file: str | None) -> Any:
    common: dict[str, Any] = {
        "username": address.user or None,
        "password": password or None,
        "socket_timeout": CALL_SECONDS,
        "socket_connect_timeout": CALL_SECONDS,
        # A connection that the server has closed meanwhile is opened anew, once; other faults are the caller's matter.
        "retry": Retry(NoBackoff(), 1),
        "protocol": 2,
    }
    if address.tls:
        common |= {"ssl": True, "ssl_ca_certs": ca_file, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
    if address.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        return redis.RedisCluster(startup_nodes=nodes, **common)
    common |= {"max_connections": CONNECTIONS, "db": address.database}
    if address.kind == "sentinel":
        watchers = {name: common[name] for name in ("socket_timeout", "socket_connect_timeout", "retry", "protocol")}
        sentinel: Any = redis.Sentinel
        return sentinel(list(address.hosts), sentinel_kwargs=watchers, **common).master_for(address.service)
    host, port = address.hosts[0]
    return redis.Redis(host=host, port=port, **common)


def _any_node() -> str:
    return str(redis.RedisCluster.RANDOM)


def _check(info: Mapping[str, Any]) -> None:
    version = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
    if version < OLDEST_VERSION:
        wanted = ".".join(map(str, OLDEST_VERSION))
        raise StoreFault(
            "StoreTooOld", f"the store is version {info['redis_version']}; Forefill needs {wanted} or newer"
        )
    policy = info.get("maxmemory_policy", "noeviction")
    if info.get("maxmemory", 0) and policy != "noeviction":
        raise StoreFault("StoreEvicts", f"the store's maxmemory-policy is {policy}; it must be noeviction")


def _key(key: str, what: str) -> str:
    return f"{PREFIX}{{{key}}}:{what}"


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
