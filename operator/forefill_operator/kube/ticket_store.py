"""Keeps the keys of tickets in a Secret, so that tickets outlive the operator that gave them."""

import base64
import logging

from forefill_operator import tickets
from forefill_operator.kube import api
from forefill_operator.kube.api import Api
from forefill_operator.kube.certificate_store import ATTEMPTS, BrokenSecret
from forefill_operator.tickets import Key

DATA = "tickets.json"

_log = logging.getLogger("forefill.tickets")


async def ensure(server: Api, namespace: str, name: str, now: float) -> tuple[Key, ...]:
    """The keys in the Secret, made or rotated where due; of two operators that do so, the first wins.

    `now` is in seconds since 1970. Cheap when nothing is due (one GET). Raises ApiError or BrokenSecret.
    """
    path = api.path("v1", "secrets", namespace, name)
    for _ in range(ATTEMPTS):
        try:
            secret = await server.get(path)
        except api.NotFound:
            raise BrokenSecret(f"Secret {name} is missing; helm upgrade makes it again") from None
        kept = _read((secret.get("data") or {}).get(DATA, ""), name)
        keys = tickets.rotated(kept, now)
        if keys == kept:
            return keys
        changed = {
            "metadata": {"resourceVersion": secret["metadata"]["resourceVersion"]},
            "data": {DATA: base64.b64encode(tickets.encode_keys(keys)).decode()},
        }
        try:
            await server.patch(path, changed)
        except api.Conflict:
            continue
        _log.info("Secret %s has a new key for tickets", name)
        return keys
    raise BrokenSecret(f"Secret {name} changed {ATTEMPTS} times while it was written")


def _read(encoded: str, name: str) -> tuple[Key, ...]:
    """Keys that can't be read are replaced: that costs one review a sidecar."""
    if not encoded:
        return ()
    try:
        return tickets.decode_keys(base64.b64decode(encoded))
    except ValueError as error:
        _log.warning("Secret %s: %s; new ones are made", name, error)
        return ()
