"""What a Valkey or Redis server said, as one reason and one sentence."""

import redis.exceptions as errors

from forefill_operator.store.interface import StoreFault

# The reply's first word, and what it means for us.
_REASONS = {
    "NOPERM": ("StoreForbids", "the store's user may not do what Forefill needs"),
    "NOAUTH": ("StoreForbids", "the store asks for a password"),
    "WRONGPASS": ("StoreForbids", "the store refused the user or password"),
    "OOM": ("StoreFull", "the store is full"),
    "MISCONF": ("StoreFull", "the store can't save to its disk and takes no writes"),
    "READONLY": ("StoreReadOnly", "the store is a replica that takes no writes"),
    "LOADING": ("StoreUnavailable", "the store is still loading its data"),
    "MASTERDOWN": ("StoreUnavailable", "the store has lost its primary"),
    "CLUSTERDOWN": ("StoreUnavailable", "the store's cluster is down"),
    "TRYAGAIN": ("StoreUnavailable", "the store's cluster is moving keys"),
    "WRONGTYPE": ("StoreGarbled", "a key of Forefill holds something else"),
}


def fault_of(error: Exception) -> StoreFault:
    """`error` is what the client library raised; its own words are kept in the sentence."""
    said = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, errors.AuthenticationError):
        return StoreFault("StoreForbids", f"the store refused the user or password: {said}")
    if isinstance(error, errors.OutOfMemoryError):
        return StoreFault("StoreFull", f"the store is full: {said}")
    if isinstance(error, errors.BusyLoadingError):
        return StoreFault("StoreUnavailable", f"the store is still loading its data: {said}")
    if isinstance(error, errors.ReadOnlyError):
        return StoreFault("StoreReadOnly", f"the store is a replica that takes no writes: {said}")
    if isinstance(error, errors.NoPermissionError):
        return StoreFault("StoreForbids", f"the store's user may not do what Forefill needs: {said}")
    if isinstance(error, (errors.ConnectionError, errors.TimeoutError, errors.RedisClusterException, OSError)):
        return StoreFault("StoreUnavailable", f"the store can't be reached: {said}")
    for word, (reason, sentence) in _REASONS.items():
        if word in said:
            return StoreFault(reason, f"{sentence}: {said}")
    return StoreFault("StoreGarbled", f"the store answered what can't be understood: {said}")
