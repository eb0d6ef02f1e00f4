"""Connections to Valkey or Redis, and whether the server at their end will do."""

from collections.abc import Mapping
from typing import Any

import redis.asyncio as redis
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from forefill_operator.store.address import StoreAddress
from forefill_operator.store.interface import StoreFault

OLDEST_VERSION = (6, 0)
# A store slower than this counts as away; the next beat tries again.
CALL_SECONDS = 2.0
CONNECTIONS = 16


def client(address: StoreAddress, password: str, ca_file: str | None) -> Any:
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


def check(info: Mapping[str, Any]) -> None:
    """`info` as the server tells it. Raises StoreFault where it is too old or may evict what must not be lost."""
    version = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
    if version < OLDEST_VERSION:
        wanted = ".".join(map(str, OLDEST_VERSION))
        raise StoreFault(
            "StoreTooOld", f"the store is version {info['redis_version']}; Forefill needs {wanted} or newer"
        )
    policy = info.get("maxmemory_policy", "noeviction")
    if info.get("maxmemory", 0) and policy != "noeviction":
        raise StoreFault("StoreEvicts", f"the store's maxmemory-policy is {policy}; it must be noeviction")


async def close(used: Any) -> None:
    """Every connection, those to Sentinels included."""
    await used.aclose()
    manager = getattr(used.connection_pool, "sentinel_manager", None) if hasattr(used, "connection_pool") else None
    for sentinel in manager.sentinels if manager is not None else ():
        await sentinel.aclose()
