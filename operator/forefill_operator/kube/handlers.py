"""The one place that knows kopf: it watches TokenPolicies and hands each state of each object on.

kopf ends every task of the loop it runs in, so it has a thread and a loop of its own. One handler serves create,
update, delete and restart alike: `on.event` is level-based, keeps nothing on the object and needs no finalizer.
"""

import asyncio
import dataclasses
import datetime
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Any, cast

import kopf

from forefill_operator.kube.credentials import Credentials
from forefill_operator.policy import GROUP, PLURAL, VERSION

Seen = Callable[[Mapping[str, Any], bool], None]
# The token is read again this often, well before the kubelet's next one replaces it.
LOGIN_LIFE = datetime.timedelta(minutes=10)


class PolicyWatch:
    """Calls `seen(body, deleted)` from its own thread for every TokenPolicy, first as listed, then as watched."""

    def __init__(self, seen: Seen, credentials: Credentials) -> None:
        self._seen = seen
        self._credentials = credentials
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    async def close(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join, 10.0)

    def _run(self) -> None:
        try:
            asyncio.run(
                kopf.operator(
                    registry=_registry(self._seen, self._credentials),
                    settings=_settings(),
                    clusterwide=True,
                    standalone=True,
                    # Left to itself kopf asks for the name of the user, and a container's user has none.
                    identity=cast(Any, "forefill"),
                    stop_flag=self._stop,
                )
            )
        except BaseException as failure:  # the thread's end is reported by liveness, its cause by the log
            self.failure = failure
            raise


@dataclasses.dataclass(frozen=True)
class Connection(kopf.ConnectionInfo):
    """With the TLS context that the operator's own calls use."""

    context: ssl.SSLContext = dataclasses.field(default_factory=ssl.create_default_context, compare=False)

    def as_ssl_context(self) -> ssl.SSLContext:
        return self.context


def connection(credentials: Credentials) -> Connection:
    scheme, _, token = credentials.headers().get("Authorization", "").partition(" ")
    return Connection(
        server=credentials.server,
        scheme=scheme or None,
        token=token or None,
        default_namespace=credentials.namespace,
        expiration=datetime.datetime.now(datetime.UTC) + LOGIN_LIFE,
        context=credentials.context,
    )


def _registry(seen: Seen, credentials: Credentials) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return connection(credentials)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def policy_seen(event: kopf.RawEvent, body: kopf.Body, **_: Any) -> None:
        seen(dict(body), event["type"] == "DELETED")

    return registry


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    # The resource is known and installed by the chart: scanning would ask for rights that nothing else needs.
    settings.scanning.disabled = True
    # A deaf watch is renewed: bookmarks come at least once a minute on a live one.
    settings.watching.inactivity_timeout = 70.0
    settings.process.ultimate_exiting_timeout = None
    return settings
