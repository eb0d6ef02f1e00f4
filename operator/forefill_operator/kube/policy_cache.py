"""All TokenPolicies as the injector needs them: fresh, and still there when the API server does not answer."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial

from forefill_operator.kube import api
from forefill_operator.kube.api import Api, Event, Object
from forefill_operator.kube.listeners import Candidate
from forefill_operator.kube.shared import SharedCalls
from forefill_operator.policy import API_VERSION, PLURAL, InvalidPolicy, parse_policy

RETRY_SECONDS = 2.0
# Well inside the time that the API server gives the webhook.
ASK_SECONDS = 2.0
REWATCH_SECONDS = 0.5

_log = logging.getLogger("forefill.policies")


class PolicyCache:
    """`lookup` asks the API server; what `follow` has seen answers while it is away."""

    def __init__(self, server: Api) -> None:
        self._api = server
        self._known: dict[str, Candidate] = {}
        self._shared = SharedCalls()
        self.listed = False

    def __len__(self) -> int:
        return len(self._known)

    async def follow(self) -> None:
        """List, then watch, for ever. While the API server is away, what was known stays."""
        while True:
            try:
                await self._list_and_watch()
            except api.ApiError as error:
                _log.warning("TokenPolicies can't be watched, the last known ones stay: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _list_and_watch(self) -> None:
        path = api.path(API_VERSION, PLURAL)
        listing = await self._api.list(path)
        self._known = {key: found for key, found in map(_candidate, listing.items) if found is not None}
        self.listed = True
        version = listing.resource_version
        while True:
            async for event in self._api.watch(path, version):
                version = event.object["metadata"]["resourceVersion"]
                self._take(event)
            # The server ends each watch after some minutes; one that ends them all at once is not to be stormed.
            await asyncio.sleep(REWATCH_SECONDS)

    def _take(self, event: Event) -> None:
        if event.type != "BOOKMARK":
            key, found = _candidate(event.object)
            self._set(key, None if event.type == "DELETED" else found)

    def _set(self, key: str, found: Candidate | None) -> None:
        if found is None:
            self._known.pop(key, None)
        else:
            self._known[key] = found

    async def lookup(self, keys: Sequence[str], namespace: str) -> Mapping[str, Candidate]:
        """The policies `keys`, or without any all of `namespace`, as they stand now; as last seen if nobody answers.

        A watch can be behind, and what it says goes into a pod for the pod's life: so each pod's policies are asked.
        Pods that come at once share a question.
        """
        await self._ask(keys, namespace)
        return self._held(keys, namespace)

    def _held(self, keys: Sequence[str], namespace: str) -> dict[str, Candidate]:
        if keys:
            return {key: self._known[key] for key in keys if key in self._known}
        return {key: held for key, held in self._known.items() if held.policy.namespace == namespace}

    async def _ask(self, keys: Sequence[str], namespace: str) -> None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                for key in keys:
                    await self._shared.make(key, partial(self._ask_one, key))
                if not keys:
                    await self._shared.make(namespace, partial(self._ask_known, namespace))
        except (api.ApiError, TimeoutError) as error:
            _log.warning("TokenPolicies of a pod in %s can't be asked for: %s", namespace, error)

    async def _ask_known(self, namespace: str) -> None:
        """A fresh list waits for the API server's own cache, a tenth of a second under load; a get does not."""
        known = list(self._held((), namespace))
        try:
            for key in known:
                _, found = _candidate(await self._api.get(api.path(API_VERSION, PLURAL, *key.split("/", 1))))
                self._set(key, found)
        except api.NotFound:
            known = []
        if not known:
            await self._ask_all(namespace)

    async def _ask_all(self, namespace: str) -> None:
        listing = await self._api.list(api.path(API_VERSION, PLURAL, namespace))
        present = dict(map(_candidate, listing.items))
        for key in {*self._held((), namespace), *present}:
            self._set(key, present.get(key))

    async def _ask_one(self, key: str) -> None:
        namespace, _, name = key.partition("/")
        try:
            _, found = _candidate(await self._api.get(api.path(API_VERSION, PLURAL, namespace, name)))
        except api.NotFound:
            found = None
        self._set(key, found)


def _candidate(body: Object) -> tuple[str, Candidate | None]:
    """Key and value; no value for a policy that can't be served, whose fault the operator writes into its status."""
    key = f"{body['metadata']['namespace']}/{body['metadata']['name']}"
    try:
        policy = parse_policy(body)
    except InvalidPolicy as invalid:
        _log.warning("TokenPolicy %s can't be served: %s", key, invalid)
        return key, None
    counted = (body.get("status") or {}).get("clients") or 0
    return key, Candidate(policy, counted, body["metadata"].get("annotations") or {})
