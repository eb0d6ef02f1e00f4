"""The store that several operators share: its options, and the parts of an operator that use it."""

import argparse
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from prometheus_client import CollectorRegistry

from forefill_operator.controller import Controller, Deliveries
from forefill_operator.exchange import Exchange
from forefill_operator.recorder import RecordingController
from forefill_operator.replica import Replica
from forefill_operator.store import address
from forefill_operator.store.interface import Store
from forefill_operator.store.metrics import StoreMetrics
from forefill_operator.usage import Misused


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("with other operators")
    group.add_argument("--store", metavar="URL", help="Valkey or Redis that operators share: redis[s]://HOST[:PORT], "
                       "redis[s]+sentinel://HOST,HOST/SERVICE or redis[s]+cluster://HOST,HOST")  # fmt: skip
    group.add_argument("--store-password-file", type=Path, metavar="FILE", help="its password")
    group.add_argument("--store-ca-file", type=Path, metavar="FILE", help="who signed its certificate")
    group.add_argument("--name", help="this operator's name among those that share the store (default HOST-PID)")


class Sharing:
    """One operator's part in a shared store; `replica` takes the place of the controller."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Raises Misused."""
        name = options.name or f"{socket.gethostname()}-{os.getpid()}"
        if not name or any(sign.isspace() for sign in name):
            raise Misused(f"--name is {name!r}; it must not hold spaces")
        ca_file = options.store_ca_file
        try:
            where = address.parse(options.store)
            password = address.password_in(options.store_password_file)
            if ca_file is not None:
                ca_file.open("rb").close()
        except address.BadStoreUrl as bad:
            raise Misused(f"--store: {bad}") from None
        except OSError as error:
            raise Misused(f"{error.filename}: {error.strerror}") from None
        # An operator that is alone does not load the client library.
        from forefill_operator.store.redis_store import RedisStore

        self.store: Store = RedisStore(where, password, str(ca_file) if ca_file else None)
        self.replica = Replica(name)

    def chore(
        self, deliver: Callable[[Deliveries], None], clock: Callable[[], float], registry: CollectorRegistry
    ) -> Callable[[], Awaitable[None]]:
        return Exchange(self.replica, self.store, deliver, clock, StoreMetrics(registry)).run


def sharing_of(options: argparse.Namespace) -> Sharing | None:
    """None for an operator that is alone. Raises Misused."""
    if options.store:
        return Sharing(options)
    for name in ("store_password_file", "store_ca_file", "name"):
        if getattr(options, name):
            raise Misused(f"--{name.replace('_', '-')} needs --store")
    return None


def controller_of(sharing: Sharing | None, record: Path | None = None) -> Controller:
    """`record` is the file that reports are written down in. Raises Misused."""
    if record is None:
        return sharing.replica if sharing else Controller()
    if sharing:
        raise Misused("--record is for an operator that is alone; it can't be given with --store")
    try:
        return RecordingController(record)
    except OSError as error:
        raise Misused(f"--record {error.filename}: {error.strerror}") from None
